package rollout

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// bare is an engine without images.
type bare struct{ Engine }

func (bare) Has(context.Context, events.Digest) (bool, error) { return false, nil }

// away is a registry that answers every question with an error.
type away struct {
	Images
	err   error
	asked int
}

func (a *away) Verify(context.Context, string, events.Digest) error {
	a.asked++
	return a.err
}

// down is an error that may pass by itself.
type down struct{ error }

func (down) Temporary() bool { return true }

// An image that neither the engine has nor the registry gives: the reason names it and, when waiting did not help, the
// next step.
func TestImageThatIsNowhere(t *testing.T) {
	digest := events.Digest("sha256:" + strings.Repeat("ab", 32))
	d := &deploy.Deployment{Parts: map[string]*deploy.Part{"web": {Target: events.Target{Digest: digest}, Ready: true}}}
	for _, c := range []struct {
		err   error
		tries int
		want  string
	}{
		{down{errors.New("image web@" + string(digest) + ": the registry cannot be reached")}, 1, "bring back what cannot be reached, then ask for the same again"},
		{errors.New("image web@" + string(digest) + " is not in the registry"), 1, "is not in the registry"},
	} {
		registry := &away{err: c.err}
		a := &Agent{Engine: bare{}, Images: registry, Registry: "127.0.0.1:5000", Patience: time.Millisecond, Now: time.Now}
		err := a.fetch(t.Context(), deploy.App{ID: "a"}, d, "web", io.Discard, &stopwatch{now: time.Now})
		var failed *stopped
		if !errors.As(err, &failed) || failed.step != "pull" || registry.asked != c.tries ||
			!strings.Contains(failed.reason, string(digest)) || !strings.Contains(failed.reason, c.want) {
			t.Errorf("asked %d times: %v", registry.asked, err)
		}
	}
}
