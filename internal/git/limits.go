package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// limits bound what one operation may cost.
type limits struct {
	Bytes   int64         // fetched; and, counted apart, written
	Files   int           // files and directories written
	Object  int64         // bytes of one unpacked object: go-git holds an object in memory while it indexes a pack
	Objects uint32        // in one pack
	Refs    int64         // bytes of a list of refs
	Time    time.Duration // in all
}

var defaultLimits = limits{
	Bytes: 1 << 30, Files: 200_000, Object: 512 << 20, Objects: 2_000_000, Refs: 32 << 20, Time: 2 * time.Minute,
}

// searchLimits are for looking for a commit, which the service does itself: no build's memory limit is around it.
var searchLimits = limits{Bytes: 256 << 20, Files: 1, Object: 32 << 20, Objects: 1_000_000, Refs: 32 << 20, Time: searchTime}

// resolveTime bounds asking a server for its refs.
const resolveTime = 15 * time.Second

// budget counts what an operation has used. Once something went over, every further use fails with the same error.
type budget struct {
	limits
	mu      sync.Mutex
	fetched int64
	written int64
	files   int
	over    error
}

// spend adds to a counter. It returns an ErrTooBig once that is over its limit.
func (b *budget) spend(fetched, written int64, files int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetched, b.written, b.files = b.fetched+fetched, b.written+written, b.files+files
	switch {
	case b.over != nil:
	case b.fetched > b.Bytes:
		b.over = fmt.Errorf("%w: the server sent more than %s; make the repository smaller, or keep large files out of git", ErrTooBig, size(b.Bytes))
	case b.written > b.Bytes:
		b.over = fmt.Errorf("%w: the files are larger than %s together; keep large files out of git", ErrTooBig, size(b.Bytes))
	case b.files > b.Files:
		b.over = fmt.Errorf("%w: there are more than %d files and directories; keep generated files out of git", ErrTooBig, b.Files)
	}
	return b.over
}

// exceeded returns the error of the limit that was passed, if one was. Readers in between can lose it.
func (b *budget) exceeded() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.over
}

// counted counts what is read as fetched.
type counted struct {
	io.ReadCloser
	budget *budget
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if over := c.budget.spend(int64(n), 0, 0); over != nil {
		return 0, over
	}
	return n, err
}

// timeout names the time that was over when an error is for that reason.
func timeout(ctx context.Context, limit time.Duration, err error) error {
	var slow net.Error
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) && !(errors.As(err, &slow) && slow.Timeout()) {
		return err
	}
	for _, known := range []error{ErrTooBig, ErrRefused, ErrNoRef, ErrDenied} {
		if errors.Is(err, known) {
			return err
		}
	}
	return fmt.Errorf("%w within %s: the git server is slow or does not answer; try again, or look at the server", ErrUnreachable, limit)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.4g GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	}
	return fmt.Sprint(n, " bytes")
}

// rescue makes an error of a panic: what go-git reads here comes from anybody.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: what the git server sent makes no sense: %v", ErrUnreachable, p)
	}
}
