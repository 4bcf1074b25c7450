package engine

import (
	"context"
	"sync"
	"time"

	"shiplog/events"
)

// discover is how often instances that have started or come back are looked for.
const discover = time.Second

// follow emits new lines of all the app's instances until ctx ends or emit says so. cursors say what has been read.
func (d *Docker) follow(ctx context.Context, app events.ID, opts LogOptions, cursors map[string]*cursor, emit func(LogLine) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{Docker: d, opts: opts, lines: make(chan LogLine), ended: make(chan string)}
	defer f.wg.Wait()
	defer cancel()
	tick := time.NewTicker(discover)
	defer tick.Stop()
	for {
		all, err := d.logged(ctx, app, opts)
		if err != nil {
			return err
		}
		for _, i := range all {
			c := cursors[i.ID]
			if c == nil {
				c = &cursor{}
				cursors[i.ID] = c
			}
			if !c.active && (!c.touched || !c.run.Equal(i.Started)) { // never read, or started again
				c.active, c.touched, c.run = true, true, i.Started
				f.wg.Go(func() { f.one(ctx, i, c) })
			}
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case l := <-f.lines:
				if !emit(l) {
					return nil
				}
			case id := <-f.ended:
				cursors[id].active = false
			case <-tick.C:
				waiting = false
			}
		}
	}
}

// follower is one call of follow. A cursor belongs to its instance's goroutine while it is active.
type follower struct {
	*Docker
	opts  LogOptions
	lines chan LogLine
	ended chan string // ids
	wg    sync.WaitGroup
}

func (f *follower) one(ctx context.Context, i Instance, c *cursor) {
	err := f.read(ctx, i, f.opts, true, c, func(l LogLine) bool {
		select {
		case f.lines <- l:
			return true
		case <-ctx.Done():
			return false
		}
	})
	if err != nil && ctx.Err() == nil {
		f.log.Warn("following an instance's log was cut off; trying again", "instance", i.Name, "error", err)
		c.touched = false
	}
	select {
	case f.ended <- i.ID:
	case <-ctx.Done():
	}
}
