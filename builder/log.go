package builder

import (
	"fmt"
	"io"
	"sync"
)

// capped passes on a number of bytes and then one line that says so. It never fails, so that a build is never held up
// by its log.
type capped struct {
	mu   sync.Mutex
	to   io.Writer // may be nil
	left int64
	most int64
	last byte
}

func newCapped(to io.Writer, most int64) *capped {
	return &capped{to: to, left: most, most: most, last: '\n'}
}

// Write takes everything.
func (c *capped) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.to == nil || c.left < 0 || len(p) == 0 {
		return len(p), nil
	}
	part := p[:min(int64(len(p)), c.left)]
	if len(part) > 0 {
		_, _ = c.to.Write(part)
		c.last = part[len(part)-1]
	}
	if c.left -= int64(len(p)); c.left < 0 {
		nl := "\n"
		if c.last == '\n' {
			nl = ""
		}
		_, _ = fmt.Fprintf(c.to, "%sThe build log is longer than %s: the rest is not kept.\n", nl, size(c.most))
	}
	return len(p), nil
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d KiB", n>>10)
}
