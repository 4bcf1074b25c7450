package git

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheRemoteRefuses(t *testing.T) {
	r := openRemote(t)
	r.commit("a", "1")
	r.client("push", "--quiet", "origin", "main")
	post := func(path, password, kind, body string) int {
		req, _ := http.NewRequest("POST", r.url+path, strings.NewReader(body))
		req.SetBasicAuth("x", password)
		req.Header.Set("Content-Type", kind)
		return do(t, req)
	}
	get := func(path, password string) int {
		req, _ := http.NewRequest("GET", r.url+path, nil)
		if password != "" {
			req.SetBasicAuth("x", password)
		}
		return do(t, req)
	}
	for _, c := range []struct {
		name string
		got  int
		want int
	}{
		{"no credentials", get("/git/hello.git/info/refs?service=git-upload-pack", ""), 401},
		{"wrong token", get("/git/hello.git/info/refs?service=git-upload-pack", "x"), 401},
		{"pushing without", post("/git/hello.git/git-receive-pack", "", "application/x-git-receive-pack-request", "0000"), 401},
		{"right token", get("/git/hello.git/info/refs?service=git-upload-pack", token), 200},
		{"the dumb protocol", get("/git/hello.git/info/refs", token), 404},
		{"another service", get("/git/hello.git/info/refs?service=git-upload-archive", token), 404},
		{"more in the query", get("/git/hello.git/info/refs?service=git-upload-pack&x=y", token), 404},
		{"a file", get("/git/hello.git/config", token), 404},
		{"an object", get("/git/hello.git/HEAD", token), 404},
		{"traversal", get("/git/../git/hello.git/config", token), 404},
		{"escaped traversal", get("/git/%2e%2e%2fhello.git/info/refs?service=git-upload-pack", token), 404},
		{"a capital", get("/git/Hello.git/info/refs?service=git-upload-pack", token), 404},
		{"no repository", get("/git/other.git/info/refs?service=git-upload-pack", token), 404},
		{"a form", post("/git/hello.git/git-receive-pack", token, "text/plain", "0000"), 415},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.name, c.got, c.want)
		}
	}
	res, err := http.Get(r.url + "/git/hello.git/info/refs?service=git-upload-pack")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") {
		t.Error("git is not told how to log in")
	}
}

func do(t *testing.T, req *http.Request) int {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// TestAGzipBombIsCut: the cap on the body cannot see what is in it, git's own cap can.
func TestAGzipBombIsCut(t *testing.T) {
	r := openRemote(t)
	var body bytes.Buffer
	z := gzip.NewWriter(&body)
	line := strings.Repeat("0", 40) + " " + strings.Repeat("1", 40) + " refs/heads/main\x00report-status\n"
	fmt.Fprintf(z, "%04x%s0000PACK\x00\x00\x00\x02\x00\x00\x00\x01", len(line)+4, line)
	zeros := make([]byte, 1<<20)
	for range 80 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	req, _ := http.NewRequest("POST", r.url+"/git/hello.git/git-receive-pack", &body)
	req.SetBasicAuth("x", token)
	req.Header.Set("Content-Type", "application/x-git-receive-pack-request")
	req.Header.Set("Content-Encoding", "gzip")
	do(t, req)
	refs, err := r.Refs(t.Context(), "hello")
	if err != nil || len(refs) != 0 {
		t.Errorf("refs: %v, %v", refs, err)
	}
}

// TestTheChildSeesNoCredentials puts a program in git's place that shows its environment.
func TestTheChildSeesNoCredentials(t *testing.T) {
	r := openRemote(t)
	t.Setenv("SHIPLOG_TOKEN", "of-the-service")
	fake := filepath.Join(t.TempDir(), "git")
	script := "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\nenv\n"
	if err := os.WriteFile(fake, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.git = fake
	req, _ := http.NewRequest("GET", r.url+"/git/hello.git/info/refs?service=git-upload-pack", nil)
	req.SetBasicAuth("x", token)
	req.Header.Set("Cookie", "c=cookie-value")
	req.Header.Set("Git-Protocol", "version=2")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var env bytes.Buffer
	_, _ = env.ReadFrom(res.Body)
	for _, secret := range []string{token, "HTTP_AUTHORIZATION", "cookie-value", "of-the-service"} {
		if strings.Contains(env.String(), secret) {
			t.Errorf("git sees %q", secret)
		}
	}
	for _, want := range []string{"GIT_PROTOCOL=version=2", "REMOTE_USER=token:x", "GIT_PROJECT_ROOT=" + r.dir} {
		if !strings.Contains(env.String(), want) {
			t.Errorf("git does not see %s:\n%s", want, env.String())
		}
	}
}
