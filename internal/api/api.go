package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/logs"
)

// Options is what the API is made of. All are needed unless a default is given.
type Options struct {
	PublicURL string // where clients reach the API; URLs in replies begin with it
	HooksURL  string // where senders reach the webhooks; default PublicURL
	Domain    string // an app answers at <name>.<Domain>; default "localhost"
	Ingress   string // address of the ingress, of which the port is shown; default 127.0.0.1:8000

	Desk     Desk
	History  History
	Resolver Resolver
	Logs     logs.Store
	RunLogs  RunLogs // nil: there are none
	Secrets  Secrets
	Hooks    Hooks // nil: webhooks are not found

	// Providers are those that webhooks are taken from, as their routes are named; default all of the contract's.
	Providers []string

	// At returns what an app ran at a moment; ok is false when it ran nothing: not yet, or not any more. nil: not found.
	At func(ctx context.Context, app events.ID, t time.Time) (then Then, ok bool, err error)
	// Authenticate returns who a bearer token belongs to.
	Authenticate func(token string) (events.Actor, bool)

	SignKey []byte           // signs log URLs; default a random one, so that a restart ends their life
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default slog.Default()
}

// server is the API at work.
type server struct {
	Options
	mux *http.ServeMux
}

// New returns the API's handler. It answers everything under /v2/; other paths are the caller's to mount.
func New(o Options) http.Handler {
	s := &server{Options: o.withDefaults(), mux: http.NewServeMux()}
	for _, r := range s.routes() {
		s.mux.Handle(r.pattern, s.guard(r))
	}
	return s.outermost()
}

func (o Options) withDefaults() Options {
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	if o.HooksURL == "" {
		o.HooksURL = o.PublicURL
	}
	o.HooksURL = strings.TrimRight(o.HooksURL, "/")
	if o.Domain == "" {
		o.Domain = "localhost"
	}
	if o.Ingress == "" {
		o.Ingress = "127.0.0.1:8000"
	}
	if o.Providers == nil {
		o.Providers = providers
	}
	if o.SignKey == nil {
		o.SignKey = make([]byte, 32)
		_, _ = rand.Read(o.SignKey) // never fails: see crypto/rand
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// origin is the scheme and host of PublicURL, from which a browser's requests are trusted.
func (o Options) origin() string {
	u, err := url.Parse(o.PublicURL)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
