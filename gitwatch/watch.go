package gitwatch

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"shiplog/events"
	"shiplog/internal/deliveries"
	"shiplog/internal/deploy"
	"shiplog/internal/git"
)

// Desk takes commands and gives states. *deploy.Handler is one.
type Desk interface {
	Do(ctx context.Context, app events.ID, o deploy.Order) (deploy.Result, error)
	State(ctx context.Context, app events.ID) (deploy.App, error)
}

// Images resolves tags of images that somebody else builds.
type Images interface {
	Resolve(ctx context.Context, repository, tag string) (events.Digest, error)
}

// Recorder keeps deliveries that lead to nothing, for those who wonder.
type Recorder interface {
	Record(ctx context.Context, d deliveries.Delivery) error
}

// Options of a Watch.
type Options struct {
	Desk   Desk
	Remote *git.Remote    // the built-in remote; nil: there is none
	Bases  []string       // addresses that the built-in remote is reached at: the public URL, the one listened on
	Allow  []netip.Prefix // private networks that git servers may be on; default none
	Images Images
	// Secrets returns the secrets that are good for an app's webhook now; none when the app has no webhook, or is not there.
	Secrets  func(ctx context.Context, app events.ID) ([]string, error)
	Recorder Recorder // may be nil
	// Apps lists the apps that are not deleted.
	Apps func(ctx context.Context) ([]events.ID, error)
	Now  func() time.Time // default time.Now
	Slog *slog.Logger     // default none
}

// Watch is the service's eye on git. It is safe for concurrent use.
type Watch struct {
	Options
	large chan struct{} // one token for each large body in memory

	mu       sync.Mutex
	minute   time.Time // that refused counts in
	refused  int       // deliveries with a bad signature, recorded
	patience time.Duration
}

// lag is how long a server may take to show a ref that it has told of.
const lag = 15 * time.Second

// New returns a watch.
func New(o Options) *Watch {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Slog == nil {
		o.Slog = slog.New(slog.DiscardHandler)
	}
	return &Watch{Options: o, large: make(chan struct{}, 4), patience: lag}
}

// Source returns where a clone URL is fetched from: the built-in repository itself where it is one of ours. builtIn is
// then the repository's name.
func (w *Watch) Source(url string) (src git.Source, builtIn string) {
	if w.Remote != nil {
		if name, ok := git.Match(url, w.Bases); ok {
			return w.Remote.Source(name), name
		}
	}
	return git.Source{URL: url, Allow: w.Allow}, ""
}
