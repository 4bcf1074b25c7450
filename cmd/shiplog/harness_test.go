package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"shiplog/internal/engine/enginetest"
)

// The end-to-end tests run the real binary against a real container engine, with real pushes. built is where the binary
// and the sample app's server are, made once for all of them when the first asks.
var built struct {
	dir, shiplog, hello string
	once                sync.Once
	err                 error
}

func TestMain(m *testing.M) {
	enginetest.Main(func() int {
		defer func() { _ = os.RemoveAll(built.dir) }()
		return m.Run()
	})
}

// build makes the binary and the sample.
func build() error {
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "shiplog-e2e-"); built.err != nil {
			return
		}
		built.shiplog, built.hello = filepath.Join(built.dir, "shiplog"), filepath.Join(built.dir, "hello")
		for _, b := range []struct{ out, pkg, cgo string }{{built.shiplog, "shiplog/cmd/shiplog", "1"}, {built.hello, "./testdata/hello", "0"}} {
			cmd := exec.Command("go", "build", "-ldflags", "-s -w", "-o", b.out, b.pkg)
			cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("build %s: %w: %s", b.pkg, err, out)
				return
			}
		}
	})
	return built.err
}

// site is a running `shiplog serve` with a data directory, ports and an engine of its own.
type site struct {
	t       *testing.T
	dir     string // data directory
	url     string
	ingress string // host:port
	args    []string
	env     []string
	token   string
	engine  string // socket of the container engine
	cmd     *exec.Cmd
	log     *os.File
	seen    map[string]bool // deployments whose failure was looked at
}

// start runs a service; args are added to its flags. It ends with the test, and so do its ingress and its containers.
func start(t *testing.T, args ...string) *site {
	t.Helper()
	return startIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

// startIn is start with a data directory that the test chose.
func startIn(t *testing.T, dir string, args ...string) *site {
	t.Helper()
	s := prepareIn(t, dir, args...)
	s.up()
	return s
}

// prepare is start without the first start.
func prepare(t *testing.T, args ...string) *site {
	t.Helper()
	return prepareIn(t, filepath.Join(t.TempDir(), "data"), args...)
}

func prepareIn(t *testing.T, dir string, args ...string) *site {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: dir}
	listen := freePort(t)
	s.url, s.ingress, s.engine = "http://"+listen, freePort(t), enginetest.Podman(t)
	s.args = append([]string{
		"serve", "--data", s.dir, "--listen", listen, "--ingress", s.ingress, "--registry-listen", freePort(t),
		"--engine-host", s.engine,
	}, args...)
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.log, err = os.Create(filepath.Join(filepath.Dir(s.dir), "service.log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.end)
	return s
}

// up starts the process and waits until it is ready.
func (s *site) up() {
	s.t.Helper()
	s.again()
	s.eventually("the service is ready", 60*time.Second, func() error {
		if s.cmd.ProcessState != nil {
			return fmt.Errorf("it ended: %v", s.cmd.ProcessState)
		}
		_, err := s.fetch("GET", s.url+"/readyz", nil)
		return err
	})
	token, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = strings.TrimSpace(string(token))
}

// again starts the process without waiting for it.
func (s *site) again() {
	s.t.Helper()
	s.cmd = exec.Command(built.shiplog, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	s.cmd.Env = append(os.Environ(), s.env...)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// kill ends the process as a power cut would: nothing is flushed, nothing is told.
func (s *site) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// down ends the process in order and returns how long that took.
func (s *site) down() time.Duration {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the service ended badly: %v", err)
	}
	return time.Since(began)
}

func (s *site) end() {
	if s.cmd != nil && s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
	s.endIngress()
	if s.t.Failed() {
		if b, err := os.ReadFile(s.log.Name()); err == nil {
			s.t.Logf("the service said:\n%s", last(string(b), 8000))
		}
	}
}

// shiplog runs a client command and returns what it printed on stdout; it must succeed.
func (s *site) shiplog(args ...string) string {
	s.t.Helper()
	out, err := s.try(args...)
	if err != nil {
		s.t.Fatalf("shiplog %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// try is shiplog for a command that may fail; the error holds what it printed on stderr.
func (s *site) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.shiplog, args...)
	cmd.Env = append(os.Environ(), "SHIPLOG_URL="+s.url, "SHIPLOG_TOKEN="+s.token, "NO_COLOR=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w: %s%s", err, out, stderr.String())
	}
	return string(out), err
}

// api calls an endpoint and decodes the reply.
func (s *site) api(method, path string, body, into any) error {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		r = bytes.NewReader(b)
	}
	out, err := s.fetch(method, s.url+path, r)
	if err == nil && into != nil {
		err = json.Unmarshal(out, into)
	}
	return err
}

func (s *site) fetch(method, url string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	res, err := (&http.Client{Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if res.StatusCode >= 300 {
		return out, fmt.Errorf("%s %s: %s: %s", method, url, res.Status, out)
	}
	return out, err
}

// get asks an app through the ingress.
func (s *site) get(app string) (string, error) {
	req, err := http.NewRequest("GET", "http://"+s.ingress+"/", nil)
	if err != nil {
		return "", err
	}
	req.Host = app + ".localhost"
	res, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if res.StatusCode != 200 {
		return "", fmt.Errorf("%s: %s", res.Status, b)
	}
	return strings.TrimSpace(string(b)), err
}

// answers waits until an app answers with that text.
func (s *site) answers(app, want string) {
	s.t.Helper()
	s.eventually(app+" answers "+want, 90*time.Second, func() error {
		got, err := s.get(app)
		if err == nil && got != want {
			err = fmt.Errorf("it answers %q", got)
		}
		return err
	})
}

// eventually tries until there is no error.
func (s *site) eventually(what string, within time.Duration, try func() error) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("not within %v: %s: %v", within, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// event is a line of an app's timeline.
type event struct {
	Type       string          `json:"type"`
	At         time.Time       `json:"at"`
	Deployment string          `json:"deployment"`
	Verdict    string          `json:"verdict"`
	Delivery   string          `json:"delivery"`
	Number     int             `json:"number"`
	Digest     string          `json:"digest"`
	Reason     string          `json:"reason"`
	Revision   string          `json:"revision"`
	Phases     json.RawMessage `json:"phases"`
}

// timeline returns an app's events, oldest first.
func (s *site) timeline(app string) []event {
	s.t.Helper()
	var all []event
	for page := 1; ; page++ {
		var reply struct {
			Timeline []event `json:"timeline"`
		}
		if err := s.api("GET", fmt.Sprintf("/v2/apps/%s/timeline?per_page=200&page=%d", s.id(app), page), nil, &reply); err != nil {
			s.t.Fatal(err)
		}
		for _, e := range reply.Timeline {
			all = append([]event{e}, all...)
		}
		if len(reply.Timeline) < 200 {
			return all
		}
	}
}

// id returns an app's id.
func (s *site) id(app string) string {
	s.t.Helper()
	var reply struct {
		Apps []struct {
			ID   string `json:"id"`
			Spec struct {
				Name string `json:"name"`
			} `json:"spec"`
		} `json:"apps"`
	}
	if err := s.api("GET", "/v2/apps?per_page=200", nil, &reply); err != nil {
		s.t.Fatal(err)
	}
	for _, a := range reply.Apps {
		if a.Spec.Name == app {
			return a.ID
		}
	}
	s.t.Fatalf("no app %s", app)
	return ""
}

// ask asks the container engine itself.
func (s *site) ask(path string, into any) {
	s.t.Helper()
	client := &http.Client{Timeout: 20 * time.Second, Transport: overSocket(strings.TrimPrefix(s.engine, "unix://"))}
	res, err := client.Get("http://engine/v1.40" + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		s.t.Fatalf("the engine's answer to %s: %v", path, err)
	}
}

// overSocket is a transport that reaches one socket.
func overSocket(path string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }
