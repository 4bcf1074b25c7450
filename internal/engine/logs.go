package engine

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"

	"shiplog/events"
)

// Logs yields what was written, merged, and then with Follow what is being written.
func (d *Docker) Logs(ctx context.Context, app events.ID, opts LogOptions) iter.Seq2[LogLine, error] {
	return func(yield func(LogLine, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		past, cursors, err := d.past(ctx, app, opts)
		for _, line := range past {
			if !yield(line, nil) {
				return
			}
		}
		if err == nil && opts.Follow {
			err = d.follow(ctx, app, opts, cursors, func(l LogLine) bool { return yield(l, nil) })
		}
		if err != nil && ctx.Err() == nil {
			yield(LogLine{}, err)
		}
	}
}

// logged lists the instances whose lines are wanted.
func (d *Docker) logged(ctx context.Context, app events.ID, opts LogOptions) ([]Instance, error) {
	all, err := d.Instances(ctx, app)
	return slices.DeleteFunc(all, func(i Instance) bool {
		return opts.Component != "" && i.Component != opts.Component || opts.Instance != "" && i.Name != opts.Instance
	}), err
}

// past reads what has been written so far, and where each instance's reading ended.
func (d *Docker) past(ctx context.Context, app events.ID, opts LogOptions) ([]LogLine, map[string]*cursor, error) {
	all, err := d.logged(ctx, app, opts)
	if err != nil {
		return nil, nil, err
	}
	cursors := map[string]*cursor{}
	read := make([][]LogLine, len(all))
	for _, i := range all {
		cursors[i.ID] = &cursor{}
	}
	err = each(len(all), func(n int) error {
		return d.read(ctx, all[n], opts, false, cursors[all[n].ID], func(l LogLine) bool {
			read[n] = append(read[n], l)
			return true
		})
	})
	if err != nil {
		return nil, nil, err
	}
	lines := slices.Concat(read...)
	slices.SortStableFunc(lines, func(a, b LogLine) int { return a.At.Compare(b.At) })
	if opts.Tail > 0 && len(lines) > opts.Tail {
		lines = lines[len(lines)-opts.Tail:]
	}
	return lines, cursors, nil
}

// cursor is where reading an instance's lines ended. Times are not unique (Podman tells seconds), so lines of the last
// time are counted.
type cursor struct {
	at      time.Time
	count   int  // lines of that time that were read
	skip    int  // of those, to be passed over in the stream that is being read
	active  bool // a stream is being read
	touched bool // a stream has been read
	run     time.Time
}

// fresh reports whether a line has not been read before, and moves on to it.
func (c *cursor) fresh(at time.Time) bool {
	switch {
	case at.Before(c.at):
		return false
	case at.Equal(c.at) && c.skip > 0:
		c.skip--
		return false
	case at.Equal(c.at):
		c.count++
	default:
		c.at, c.count, c.skip = at, 1, 0
	}
	return true
}

// read reads one instance's lines from the cursor on, to their present end or with follow until the instance ends.
func (d *Docker) read(ctx context.Context, i Instance, opts LogOptions, follow bool, c *cursor, emit func(LogLine) bool) error {
	since := opts.Since
	if !c.at.IsZero() {
		since = c.at.Add(-time.Second) // engines differ in whether they include the time itself
	}
	c.skip = c.count
	o := client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: follow}
	if !since.IsZero() {
		o.Since = since.Truncate(time.Second).Format(time.RFC3339)
	}
	if opts.Tail > 0 && !follow {
		o.Tail = strconv.Itoa(opts.Tail)
	}
	stream, err := d.api.ContainerLogs(ctx, i.ID, o)
	if cerrdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return d.failed("read the logs of "+i.Name, err)
	}
	defer stream.Close()
	w := func() *lineWriter {
		return &lineWriter{emit: func(at time.Time, text string) bool {
			if at.Before(opts.Since.Truncate(time.Second)) || !c.fresh(at) {
				return true
			}
			return emit(LogLine{Component: i.Component, Instance: i.Name, At: at, Text: text})
		}}
	}
	out, errs := w(), w()
	_, err = stdcopy.StdCopy(out, errs, stream)
	if err == nil {
		err = cmp.Or(out.flush(), errs.flush())
	}
	if errors.Is(err, errStop) || ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return d.failed("read the logs of "+i.Name, err)
	}
	return nil
}

// tail returns an instance's last lines, at most 4 KiB, without times. It is for an error: what fails here is left out.
func (d *Docker) tail(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var text []byte
	_ = d.read(ctx, Instance{ID: id}, LogOptions{Tail: 40}, false, &cursor{}, func(l LogLine) bool {
		text = append(append(text, l.Text...), '\n')
		return true
	})
	return lastBytes(text, 4<<10)
}
