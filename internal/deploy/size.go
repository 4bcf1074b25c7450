package deploy

import (
	"encoding/json"
	"errors"

	"shiplog/events"
)

// maxPaths is how many changed paths of a push are kept, and maxPathBytes how much they may take as JSON.
const (
	maxPaths     = 100
	maxPathBytes = 32 << 10
)

// room is kept free in a request for a deployment for what its later events add: the digests that are not known yet, and
// the phases. What could be requested but never be reported would be tried for ever.
const (
	room       = 4 << 10
	roomDigest = len(`,"digest":"sha256:"`) + 64
)

// fits refuses a decision with an event that is too large for the log. Without it the log would refuse, which a reactor
// takes for a reason to try again.
func (s *story) fits() error {
	for _, d := range s.drafts {
		body, err := events.Encode(d.Event)
		size := len(body)
		if r, ok := d.Event.(events.DeploymentRequested); ok {
			size += room
			for _, t := range r.Want {
				if t.Digest == "" {
					size += roomDigest
				}
			}
		}
		if errors.Is(err, events.ErrTooLarge) || size > events.MaxBytes {
			name, _ := events.TypeOf(d.Event)
			return refuse(CodeInvalid, "app %s has grown too large: %s would take more than %d KiB; give it fewer components, or shorter names and variables",
				s.app.Name, name, events.MaxBytes>>10)
		}
	}
	return nil
}

// shorten returns the paths of a push that are kept.
func shorten(paths []string, more bool) ([]string, bool) {
	size := 0
	for i, p := range paths {
		b, _ := json.Marshal(p)
		if size += len(b) + 1; i == maxPaths || size > maxPathBytes {
			return paths[:i], true
		}
	}
	return paths, more
}
