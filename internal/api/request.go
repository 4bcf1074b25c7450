package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"runtime/debug"
	"strings"

	"shiplog/events"
)

// maxBody is the most a request's body may hold.
const maxBody = 1 << 20

type contextKey int

const (
	actorKey contextKey = iota
	requestKey
)

func withActor(ctx context.Context, a events.Actor) context.Context {
	return context.WithValue(ctx, actorKey, a)
}

func actorOf(r *http.Request) events.Actor {
	a, _ := r.Context().Value(actorKey).(events.Actor)
	return a
}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(requestKey).(string)
	return id
}

// bearer returns the token of an Authorization header. The scheme's case does not matter (RFC 9110).
func bearer(header string) (string, bool) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// outermost names the request, turns away other sites' browsers, answers what no route does in the contract's form, and
// keeps a panic from ending in a broken connection, which clients would take for a reason to send the command again.
func (s *server) outermost() http.Handler {
	cross := http.NewCrossOriginProtection()
	if o := s.origin(); o != "" {
		_ = cross.AddTrustedOrigin(o) // it was parsed and put together from a URL
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(context.WithValue(r.Context(), requestKey, string(events.NewID())))
		w.Header().Set("x-request-id", requestID(r))
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				s.Log.Error("panic", "request_id", requestID(r), "value", p, "stack", string(debug.Stack()))
				s.fail(w, r, &failure{http.StatusInternalServerError, "server_error", "an unexpected error; the service's log has it under this request id"})
			}
		}()
		if err := cross.Check(r); err != nil {
			s.fail(w, r, &failure{http.StatusForbidden, "forbidden", "a page of another site may not do this: " + err.Error()})
			return
		}
		// The mux would redirect a path it finds unclean, and clients follow: an empty id would become a list.
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
			s.fail(w, r, notFound("there is nothing at %s", r.URL.Path))
			return
		}
		h, pattern := s.mux.Handler(r)
		if pattern == "" {
			s.unrouted(w, r, h)
			return
		}
		s.mux.ServeHTTP(w, r)
	})
}

// unrouted answers what the mux answers with plain text: 404, or 405 with what is allowed.
func (s *server) unrouted(w http.ResponseWriter, r *http.Request, h http.Handler) {
	rec := &statusOnly{header: http.Header{}}
	h.ServeHTTP(rec, r)
	if rec.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", rec.header.Get("Allow"))
		s.fail(w, r, &failure{rec.status, "method_not_allowed", r.Method + " is not possible here; allowed: " + rec.header.Get("Allow")})
		return
	}
	s.fail(w, r, notFound("there is nothing at %s", r.URL.Path))
}

// statusOnly remembers how a handler would answer.
type statusOnly struct {
	header http.Header
	status int
}

func (s *statusOnly) Header() http.Header         { return s.header }
func (s *statusOnly) Write(b []byte) (int, error) { return len(b), nil }
func (s *statusOnly) WriteHeader(code int)        { s.status = code }

// decode reads a JSON body into v. A body that is absent, empty or null leaves v as it is. With strict, a field that v
// does not have is an error: for our own endpoints, where a misspelt field must not be passed over.
func decode(r *http.Request, v any, strict bool) error {
	body, err := readBody(r)
	if err != nil {
		return err
	}
	return decodeBytes(body, v, strict)
}

func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLarge) {
		return nil, badRequest("the request's body ended early")
	}
	return body, err
}

func decodeBytes(body []byte, v any, strict bool) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || string(body) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if strict {
		dec.DisallowUnknownFields()
	}
	if err := dec.Decode(v); err != nil {
		return badRequest("the request's body cannot be read: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if _, err := dec.Token(); err != io.EOF {
		return badRequest("the request's body goes on after its end")
	}
	return nil
}
