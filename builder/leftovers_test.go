package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"shiplog/internal/inet"
)

// leftovers lists everything on this machine that is a build's of this room.
func (r *room) leftovers() (found []string) {
	r.t.Helper()
	add := func(what string, names ...string) {
		for _, n := range names {
			found = append(found, what+" "+n)
		}
	}
	dirs, err := os.ReadDir(r.opts.Work)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, d := range dirs {
		add("directory", d.Name())
	}
	for _, t := range r.cgroups.trees {
		below, err := os.ReadDir(t.dir)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, d := range below {
			if d.IsDir() {
				add("cgroup", filepath.Join(t.dir, d.Name()))
			}
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, l := range links {
		if strings.HasPrefix(l.Name, "sb"+r.id) {
			add("link", l.Name)
		}
	}
	// A process of a build, and nothing else, has the room's directories mounted. With the last of them the mounts go.
	pids, err := os.ReadDir("/proc")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range pids {
		if _, err := strconv.Atoi(p.Name()); err != nil {
			continue
		}
		mounts, _ := os.ReadFile("/proc/" + p.Name() + "/mountinfo")
		if strings.Contains(string(mounts), r.dir) {
			command, _ := os.ReadFile("/proc/" + p.Name() + "/cmdline")
			add("process with mounts", p.Name()+" "+string(command))
		}
	}
	containers, err := filepath.Glob(filepath.Join(r.opts.Storage, "layers-*/graph/overlay-containers/*/userdata"))
	if err != nil {
		r.t.Fatal(err)
	}
	add("working container", containers...)
	return found
}

// clean fails the test when something of a build is left.
func (r *room) clean() {
	r.t.Helper()
	if found := r.leftovers(); len(found) > 0 {
		r.t.Errorf("left behind:\n%s", strings.Join(found, "\n"))
	}
}

// hanging is a server that never answers requests that match; asked is closed when there was one.
func hanging(t *testing.T, next http.Handler, match func(*http.Request) bool) (address string, asked chan struct{}) {
	t.Helper()
	asked, over := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if match(req) {
			asked <- struct{}{}
			select {
			case <-over:
			case <-req.Context().Done():
			}
			return
		}
		next.ServeHTTP(w, req)
	}))
	t.Cleanup(func() { close(over); s.Close() })
	return s.Listener.Addr().String(), asked
}

func all(*http.Request) bool { return true }

func TestCancel(t *testing.T) {
	r := newRoom(t)
	warm, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\n"})
	r.build(warm)
	for name, prepare := range map[string]func(*Job, *buffer) (reached func()){
		"checkout": func(job *Job, _ *buffer) func() {
			address, asked := hanging(t, nil, all)
			job.Source.Local, job.Source.URL, job.Source.Allow = "", "http://"+address+"/x.git", inet.Prefixes("127.0.0.0/8")
			return func() { <-asked }
		},
		"pull": func(job *Job, _ *buffer) func() {
			address, asked := hanging(t, nil, all)
			if err := writeConfig(r.opts.Storage, map[string]string{"docker.io": "http://" + address}); err != nil {
				t.Fatal(err)
			}
			r.opts.Mirrors = map[string]string{"docker.io": "http://" + address}
			job.Source.Local = r.tree(map[string]string{"Dockerfile": "FROM other\n"})
			return func() { <-asked }
		},
		"run": func(job *Job, log *buffer) func() {
			job.Source.Local = r.tree(map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 1000 & echo 'it '\"runs\"; sleep 1000\n"})
			return func() { log.wait(t, "it runs") }
		},
		"push": func(job *Job, _ *buffer) func() {
			address, asked := hanging(t, registry.New(), func(req *http.Request) bool { return req.Method != http.MethodGet && req.Method != http.MethodHead })
			job.Destination = address + "/app/web:d-1"
			return func() { <-asked }
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			mirrors := r.opts.Mirrors
			job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\n"})
			reached := prepare(&job, log)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { _, err := r.Build(ctx, job); done <- err }()
			reached()
			if len(r.leftovers()) == 0 {
				t.Error("a build under way leaves no trace: the checks below cannot fail")
			}
			start := time.Now()
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("a canceled build: %v", err)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("canceling took %v", took)
			}
			r.clean()
			r.opts.Mirrors = mirrors
			if err := writeConfig(r.opts.Storage, mirrors); err != nil {
				t.Fatal(err)
			}
		})
	}
	r.t = t
	r.build(warm) // the storage is as good as before
}

func TestDeadline(t *testing.T) {
	r := newRoom(t, func(o *Options) { o.Limits.Time = 1500 * time.Millisecond })
	job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 1000\n"})
	want(t, r.fails(job).Reason, "longer than 1.5s", "raise the limit")
	r.clean()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := r.Build(ctx, job); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the caller's deadline: %v", err)
	}
	r.clean()
}

// service is what the test binary runs as when a test wants to kill a service: a builder with one build.
func service() {
	var in struct {
		Options Options
		Job     wireJob
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	b, err := Open(in.Options)
	if err != nil {
		panic(err)
	}
	job := Job(in.Job)
	job.Log = os.Stdout
	_, err = b.Build(context.Background(), job)
	panic(fmt.Sprint("the build ended: ", err))
}

const serviceName = "test-service"

func TestKilledService(t *testing.T) {
	r := newRoom(t)
	job, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=s sleep 1000 & echo 'it '\"runs\"; sleep 1000\n"})
	job.Secrets = map[string][]byte{"s": []byte("canary-2c")}
	options := r.opts
	options.Log = nil
	body, err := json.Marshal(map[string]any{"Options": options, "Job": wireJob(job)})
	if err != nil {
		t.Fatal(err)
	}
	log := &buffer{}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{serviceName}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(body)), log, log
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log.wait(t, "it runs")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	processes := func() (n int) {
		for _, l := range r.leftovers() {
			if strings.HasPrefix(l, "process") || strings.HasPrefix(l, "link") {
				n++
			}
		}
		return n
	}
	for end := time.Now().Add(5 * time.Second); processes() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the build outlives its service:\n%s", strings.Join(r.leftovers(), "\n"))
		}
	}
	if len(r.leftovers()) == 0 {
		t.Error("a killed service leaves nothing: the next check cannot fail")
	}
	again, err := Open(r.opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Builder = again
	r.clean()
	r.notOnDisk("canary-2c")
	job, _ = r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN echo works\n"})
	r.build(job)
}

func TestManyBuildsLeaveNothing(t *testing.T) {
	r := newRoom(t)
	good, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN echo good > /x\n"})
	bad, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN false\n"})
	slow, _ := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 1000\n"})
	r.build(good)
	r.fails(bad)
	descriptors := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	files, layers, goroutines := descriptors(), r.layerCount(), runtime.NumGoroutine()
	const each = 10
	done := make(chan error)
	for _, job := range []Job{good, bad, slow} {
		go func() {
			for i := range each {
				ctx, cancel := context.WithCancel(context.Background())
				if job.Log == slow.Log {
					time.AfterFunc(time.Duration(20+50*i)*time.Millisecond, cancel)
				}
				_, err := r.Build(ctx, job)
				cancel()
				var f *Failure
				switch {
				case job.Log == good.Log && err != nil, job.Log == bad.Log && !errors.As(err, &f), job.Log == slow.Log && !errors.Is(err, context.Canceled):
					done <- fmt.Errorf("build %d: %w", i, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 3 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	r.clean()
	// The registries notice a moment later that a killed client is gone.
	for end := time.Now().Add(5 * time.Second); descriptors() > files || runtime.NumGoroutine() > goroutines+2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			out, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", os.Getpid())).Output()
			t.Fatalf("open files: %d, were %d; goroutines: %d, were %d\n%s", descriptors(), files, runtime.NumGoroutine(), goroutines, out)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	if now := r.layerCount(); now != layers {
		t.Errorf("layers on disk: %d, were %d", now, layers)
	}
}

// layerCount counts the directories of layers in the storage.
func (r *room) layerCount() int {
	r.t.Helper()
	list, err := filepath.Glob(filepath.Join(r.opts.Storage, "layers-1/graph/overlay/*/diff"))
	if err != nil {
		r.t.Fatal(err)
	}
	return len(list)
}
