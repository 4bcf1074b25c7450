package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"net/url"
	"os"
	"strings"
	"time"

	"shiplog/events"
)

// The services of git's protocol.
const (
	uploadPack  = "git-upload-pack"  // fetching
	receivePack = "git-receive-pack" // pushing
)

// Limits of the remote's server.
const (
	maxQuestion = 32 << 20    // bytes of a fetch's request
	maxAnswer   = 16 << 20    // bytes of the answer to a push, which is held back
	idle        = time.Minute // without a byte of a request's body
	afterPush   = time.Minute // for AfterPush
	probe       = 4           // bytes of "0000": git asks so whether it may push, before it sends more than 1 MiB in chunks
	realm       = "Basic realm=\"shiplog: any user name, a token as the password\", charset=\"UTF-8\""
	plainText   = "text/plain; charset=utf-8"
)

// request is what a path of the remote asks for.
type request struct {
	name    string // of the app
	service string
	ask     bool // for the refs; else the service itself
}

// parseRequest reads the path and query of a request: /git/NAME.git/info/refs?service=… or /git/NAME.git/SERVICE. Nothing
// else of what http-backend could serve is served.
func parseRequest(method, path, query string) (q request, ok bool) {
	rest, ok := strings.CutPrefix(path, "/git/")
	if !ok {
		return q, false
	}
	q.name, rest, ok = strings.Cut(rest, ".git/")
	if !ok || !appName.MatchString(q.name) {
		return q, false
	}
	switch {
	case method == http.MethodGet && rest == "info/refs":
		q.service, ok = strings.CutPrefix(query, "service=")
		q.ask = true
	case method == http.MethodPost && query == "":
		q.service = rest
	default:
		return q, false
	}
	return q, ok && (q.service == uploadPack || q.service == receivePack)
}

// ServeHTTP serves /git/NAME.git to git clients: any user name, a token as the password. It answers 401, 404 for anything
// but the smart protocol's requests and for repositories that are not there, 413, and 503 when BeforePush refuses.
func (r *Remote) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	q, ok := parseRequest(req.Method, req.URL.Path, req.URL.RawQuery)
	if !ok {
		say(w, http.StatusNotFound, "there is nothing here; clone or push /git/APP.git")
		return
	}
	user, token, _ := req.BasicAuth()
	var actor events.Actor
	if ok = r.Authenticate != nil && token != ""; ok {
		actor, ok = r.Authenticate(user, token)
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", realm)
		say(w, http.StatusUnauthorized, "any user name, and a token as the password")
		return
	}
	_, err := os.Stat(r.Path(q.name))
	if err != nil && r.Missing != nil {
		if err := r.Missing(req.Context(), q.name); err != nil {
			w.Header().Set("Retry-After", "5")
			say(w, http.StatusServiceUnavailable, "the repository of "+q.name+" cannot be prepared: "+oneLine(err))
			return
		}
		_, err = os.Stat(r.Path(q.name))
	}
	if err != nil {
		say(w, http.StatusNotFound, "there is no repository for "+q.name+"; make an app of that name first, with this address as its source")
		return
	}
	r.open.Add(1)
	defer r.open.Done()
	switch {
	case q.ask && q.service == receivePack && r.BeforePush != nil:
		if err := r.BeforePush(req.Context(), q.name); err != nil {
			w.Header().Set("Retry-After", "5")
			say(w, http.StatusServiceUnavailable, "nothing can be pushed now: "+oneLine(err))
			return
		}
		fallthrough
	case q.ask:
		r.backend(w, req, q, actor, nil, 0)
	default:
		r.serve(w, req, q, actor)
	}
}

// serve takes a request with a body: it is stored first, so that git gets its length and never waits for a client.
func (r *Remote) serve(w http.ResponseWriter, req *http.Request, q request, actor events.Actor) {
	limit := r.MaxPush
	if q.service == uploadPack {
		limit = maxQuestion
	}
	body, length, err := r.spool(w, req, limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		say(w, http.StatusRequestEntityTooLarge, "one push can hold "+size(limit)+"; push fewer commits at once, or keep large files out of git")
		return
	case err != nil:
		r.Slog.Warn("could not store the body of a git request", "app", q.name, slog.Any("error", err))
		say(w, http.StatusServiceUnavailable, "the push could not be stored; try again")
		return
	}
	defer body.Close()
	if q.service == uploadPack || length == probe {
		r.backend(w, req, q, actor, body, length)
		return
	}
	err = r.Exclusive(req.Context(), q.name, func() error {
		r.push(w, req, q, actor, body, length)
		return nil
	})
	if err != nil {
		say(w, http.StatusServiceUnavailable, "another push is being taken; try again")
	}
}

// push has git take a push, then tells AfterPush, then the client.
func (r *Remote) push(w http.ResponseWriter, req *http.Request, q request, actor events.Actor, body *os.File, length int64) {
	answer := &answer{header: http.Header{}}
	r.backend(answer, req, q, actor, body, length)
	var words string
	var failed error
	if r.AfterPush != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), afterPush)
		defer cancel()
		words, failed = r.AfterPush(ctx, q.name, actor)
	}
	if answer.status != http.StatusOK || answer.over {
		say(w, http.StatusInternalServerError, "git could not take the push; try again")
		return
	}
	out, err := report(answer.body.Bytes(), words, failed)
	if err != nil {
		r.Slog.Warn("git's answer to a push was not understood", "app", q.name, slog.Any("error", err))
		if failed != nil { // what cannot be said in git's words is said in HTTP's
			say(w, http.StatusServiceUnavailable, "the push is stored but not recorded: "+oneLine(failed))
			return
		}
		out = answer.body.Bytes()
	}
	for k, v := range answer.header {
		w.Header()[k] = v
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out)
}

// spool stores a request's body in a file that has no name, so that nothing is left of it whatever happens.
func (r *Remote) spool(w http.ResponseWriter, req *http.Request, limit int64) (*os.File, int64, error) {
	if req.ContentLength > limit {
		return nil, 0, &http.MaxBytesError{Limit: limit}
	}
	f, err := os.CreateTemp(r.Spool, "shiplog-push-")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(f.Name())
	body := patient{http.MaxBytesReader(w, req.Body, limit), http.NewResponseController(w)}
	n, err := io.Copy(f, body)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	_ = body.control.SetReadDeadline(time.Time{})
	if err != nil {
		_ = f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// patient reads a body as long as bytes keep coming.
type patient struct {
	io.Reader
	control *http.ResponseController
}

func (p patient) Read(b []byte) (int, error) {
	_ = p.control.SetReadDeadline(time.Now().Add(idle)) // not every server has deadlines
	return p.Reader.Read(b)
}

// passed are the headers that git's http-backend gets to see. Authorization and cookies are not among them.
var passed = []string{"Content-Type", "Content-Encoding", "Accept", "Accept-Encoding", "Git-Protocol", "User-Agent"}

// backend runs git http-backend for one request.
func (r *Remote) backend(w http.ResponseWriter, req *http.Request, q request, actor events.Actor, body *os.File, length int64) {
	path := "/" + q.name + ".git/" + q.service
	query := ""
	if q.ask {
		path, query = "/"+q.name+".git/info/refs", "service="+q.service
	}
	inner := &http.Request{
		Method: req.Method, URL: &url.URL{Path: path, RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: "localhost", RemoteAddr: req.RemoteAddr, ContentLength: length, Body: http.NoBody,
	}
	if body != nil {
		inner.Body = body
	}
	for _, name := range passed {
		if v := req.Header.Get(name); v != "" {
			inner.Header.Set(name, v)
		}
	}
	env := append(r.env(r.Path(q.name)), "GIT_PROJECT_ROOT="+r.dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER="+string(actor))
	if v := req.Header.Get("Git-Protocol"); v != "" {
		env = append(env, "GIT_PROTOCOL="+v)
	}
	problems := &head{max: 4 << 10}
	h := &cgi.Handler{Path: r.git, Args: []string{"http-backend"}, Dir: r.dir, Env: env, Stderr: problems}
	h.ServeHTTP(w, inner.WithContext(req.Context()))
	if text := strings.TrimSpace(problems.String()); text != "" {
		r.Slog.Info("git http-backend", "app", q.name, "service", q.service, "says", oneLine(errors.New(text)))
	}
}

// answer holds a response back.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	over   bool
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(p) > maxAnswer {
		a.over = true
		return 0, fmt.Errorf("the answer is larger than %s", size(maxAnswer))
	}
	return a.body.Write(p)
}

// say answers with a line that git shows to the person.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", plainText)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "shiplog: "+text+"\n")
}
