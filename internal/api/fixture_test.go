package api

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/api/apitest"
)

const (
	commitA, commitB, commitC = apitest.CommitA, apitest.CommitB, apitest.CommitC

	token = "s3cret"
	admin = events.Actor("token:admin")
	repo  = "http://127.0.0.1:8080/git/hello.git"
	webGo = `{"name":"hello","services":[{"name":"web","git":{"repo_clone_url":"` + repo + `","branch":"main"}}]}`
)

var digestOf = apitest.DigestOf

// desk is the API at work on the real handler and a log in memory.
type desk struct {
	*testing.T
	*apitest.World
	options Options
	server  *httptest.Server
}

func newDesk(t *testing.T, change ...func(*Options)) *desk {
	t.Helper()
	d := &desk{T: t, World: apitest.New(t)}
	d.server = httptest.NewUnstartedServer(nil)
	d.options = Options{
		PublicURL: "http://" + d.server.Listener.Addr().String(), Desk: d.Handler, History: d.History, Resolver: d.Git,
		Logs: d.Logs, Secrets: apitest.Secrets{}, Hooks: apitest.Hooks{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Authenticate: func(s string) (events.Actor, bool) { return admin, s == token },
		Now:          d.World.Now,
	}
	for _, f := range change {
		f(&d.options)
	}
	d.server.Config.Handler = New(d.options)
	d.server.Start()
	t.Cleanup(d.server.Close)
	return d
}

// call sends a request and decodes the answer into out, if that is not nil. It returns the status.
func (d *desk) call(method, path string, body, out any, headers ...string) int {
	d.Helper()
	var in io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		in = strings.NewReader(b)
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			d.Fatal(err)
		}
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequest(method, d.server.URL+path, in)
	if err != nil {
		d.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		d.Fatal(err)
	}
	if resp.Header.Get("x-request-id") == "" {
		d.Errorf("%s %s: no x-request-id", method, path)
	}
	if out != nil {
		if err := json.Unmarshal(raw, out); err != nil {
			d.Fatalf("%s %s answered %d %q: %v", method, path, resp.StatusCode, raw, err)
		}
	}
	return resp.StatusCode
}

// refused is call for what must be refused; it returns the message.
func (d *desk) refused(status int, id, method, path string, body any) string {
	d.Helper()
	var e struct {
		ID        string `json:"id"`
		Message   string `json:"message"`
		RequestID string `json:"request_id"`
	}
	got := d.call(method, path, body, &e)
	if got != status || e.ID != id || e.Message == "" || e.RequestID == "" {
		d.Fatalf("%s %s %v = %d %+v, want %d %s", method, path, body, got, e, status, id)
	}
	return e.Message
}

// do calls and wants a 200.
func (d *desk) do(method, path string, body, out any) {
	d.Helper()
	var raw json.RawMessage
	if got := d.call(method, path, body, &raw); got != http.StatusOK {
		d.Fatalf("%s %s = %d %s", method, path, got, raw)
	}
	if out == nil {
		return
	}
	if err := json.Unmarshal(raw, out); err != nil {
		d.Fatalf("%s %s answers %s: %v", method, path, raw, err)
	}
}

type appAnswer struct {
	App appObject `json:"app"`
}
type deploymentAnswer struct {
	Deployment deploymentObject `json:"deployment"`
}
type pinAnswer struct {
	App        appObject         `json:"app"`
	Pin        *pinObject        `json:"pin"`
	Deployment *deploymentObject `json:"deployment"`
	Note       string            `json:"note"`
	Undo       *undoObject       `json:"undo"`
}

// create makes the app hello and returns its path.
func (d *desk) create(spec string) (app appObject, path string) {
	d.Helper()
	var a appAnswer
	d.do("POST", "/v2/apps", map[string]json.RawMessage{"spec": json.RawMessage(spec)}, &a)
	return a.App, "/v2/apps/" + string(a.App.ID)
}

// push moves main and deploys it to the end.
func (d *desk) ship(path string, app events.ID, commit events.Commit) deploymentObject {
	d.Helper()
	d.Git.Set("main", events.RefBranch, commit)
	var a deploymentAnswer
	d.do("POST", path+"/deployments", nil, &a)
	d.Work(app)
	return a.Deployment
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
