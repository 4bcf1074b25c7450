package natslog

import (
	"fmt"

	"shiplog/events"
)

// Limits of what shares one commit. JetStream takes 1,000 messages a batch.
const (
	groupEvents = 500
	groupBytes  = 4 << 20
)

// worthGrouping is the number of events from which a shared batch is faster than one commit each: JetStream stages a
// batch in a store of its own, which costs about as much as seven plain messages.
const worthGrouping = 8

// maxHeads bounds what the committer remembers.
const maxHeads = 100_000

// committer publishes appends, one group at a time. Whatever arrives while it waits for the disk is the next group.
type committer struct {
	log   *Log
	heads map[events.Subject]uint64 // last sequence that we wrote and had acknowledged
}

func (c *committer) run() {
	var waiting []*request
	for {
		if len(waiting) == 0 {
			select {
			case r := <-c.log.requests:
				waiting = append(waiting, r)
			case <-c.log.closing:
				return
			}
		}
		select {
		case <-c.log.closing:
			return
		default:
		}
		waiting = c.drain(waiting)
		var group []*request
		group, waiting = c.pick(waiting)
		if len(group) > 0 {
			c.commit(group)
		}
	}
}

// drain adds what has arrived meanwhile, without waiting.
func (c *committer) drain(waiting []*request) []*request {
	for len(waiting) < cap(c.log.requests) {
		select {
		case r := <-c.log.requests:
			waiting = append(waiting, r)
		default:
			return waiting
		}
	}
	return waiting
}

// pick takes from the requests those that can share a commit: no subject twice, within the limits. One that the server
// would refuse is settled at once: its refusal would cost the others their shared batch.
func (c *committer) pick(waiting []*request) (group, rest []*request) {
	taken := map[events.Subject]bool{}
	n, bytes := 0, int64(0)
	for _, r := range waiting {
		switch {
		case r.ctx.Err() != nil:
			r.done <- answer{err: fmt.Errorf("append: %w", unavailable(r.ctx.Err()))}
		case c.stale(r):
			go c.log.settle(r, errStale)
		case len(group) > 0 && (n+len(r.sealed) > groupEvents || bytes+r.size > groupBytes || clashes(r, taken)):
			rest = append(rest, r)
		default:
			group, n, bytes = append(group, r), n+len(r.sealed), bytes+r.size
			for _, a := range r.batch {
				taken[a.Subject] = true
			}
		}
	}
	return group, rest
}

// stale reports whether a subject is known to have moved on.
func (c *committer) stale(r *request) bool {
	for _, a := range r.batch {
		if c.heads[a.Subject] > a.Expect.Position.Sequence {
			return true
		}
	}
	return false
}

func clashes(r *request, taken map[events.Subject]bool) bool {
	for _, a := range r.batch {
		if taken[a.Subject] {
			return true
		}
	}
	return false
}

// commit publishes a group and answers each of its members, or leaves that to settle.
func (c *committer) commit(group []*request) {
	if len(group) > 1 && eventsOf(group) < worthGrouping {
		c.commitEach(group)
		return
	}
	last, err := c.log.publish(group)
	switch {
	case err == nil:
		c.answer(group, last)
	case len(group) > 1 && isRefusal(err):
		c.commitEach(group)
	default:
		for _, r := range group {
			go c.log.settle(r, err)
		}
	}
}

func (c *committer) commitEach(group []*request) {
	for _, r := range group {
		c.commit([]*request{r})
	}
}

func eventsOf(group []*request) (n int) {
	for _, r := range group {
		n += len(r.sealed)
	}
	return n
}

// answer gives the events of a group their positions; last is that of the group's last event.
func (c *committer) answer(group []*request, last uint64) {
	if len(c.heads) > maxHeads {
		clear(c.heads)
	}
	next := last - uint64(eventsOf(group)) + 1
	for _, r := range group {
		for i := range r.sealed {
			r.sealed[i].Position = events.Position{Epoch: c.log.epoch, Sequence: next}
			c.heads[r.sealed[i].Subject] = next
			next++
		}
		c.log.room.add(r.size)
		r.done <- answer{recorded: r.sealed}
	}
}
