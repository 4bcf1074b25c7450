package ingress

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"
)

// ejection is how long a backend that refused a connection is passed over while another one is there.
const ejection = 3 * time.Second

// backend is one address that answers requests. It outlives the tables that name it, until nothing is in flight.
type backend struct {
	addr     string
	inFlight atomic.Int64
	ejected  atomic.Int64 // until, Unix nanoseconds
}

func (b *backend) eject(now time.Time) { b.ejected.Store(now.Add(ejection).UnixNano()) }

// pick chooses the backend with the fewest requests in flight: one that is not ejected where there is one, and never one
// of tried. It returns nil when none is left. Of equals any is chosen.
func pick(backends, tried []*backend, now time.Time) *backend {
	var best *backend
	var load int64
	var bestOut bool
	start := 0
	if len(backends) > 1 {
		start = rand.IntN(len(backends))
	}
	for i := range backends {
		b := backends[(start+i)%len(backends)]
		if slices.Contains(tried, b) {
			continue
		}
		out, n := b.ejected.Load() > now.UnixNano(), b.inFlight.Load()
		if best == nil || bestOut && !out || bestOut == out && n < load {
			best, load, bestOut = b, n, out
		}
	}
	return best
}
