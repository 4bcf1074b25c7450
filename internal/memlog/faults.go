package memlog

import (
	"strconv"
	"time"

	"shiplog/events"
)

// fault is what the next append runs into.
type fault struct {
	err     error
	written bool
}

// FailNext makes the next Append return err. With written its events are in the log all the same, as after a lost
// answer; otherwise they are not. Calls queue up: two of them fail the next two appends.
func (l *Log) FailNext(err error, written bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults = append(l.faults, fault{err, written})
}

func (l *Log) nextFault() (f fault) {
	if len(l.faults) > 0 {
		f, l.faults = l.faults[0], l.faults[1:]
	}
	return f
}

// BeforeNext runs f once, between the caller's decision and the next Append's check of it: the place where another
// writer can slip in. f may use the log.
func (l *Log) BeforeNext(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = f
}

func (l *Log) runBefore() {
	l.mu.Lock()
	f := l.before
	l.before = nil
	l.mu.Unlock()
	if f != nil {
		f()
	}
}

// Forge appends an event as another version of Shiplog would write it: any type, version, reader and payload, chained to
// the subject's last event.
func (l *Log) Forge(subject events.Subject, name string, version, reader int, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := events.Meta{
		ID: events.NamedID("forged", strconv.Itoa(len(l.messages))), Type: name, Version: version, Reader: reader,
		At: time.Now(), Actor: events.Self, Prev: l.heads[subject].Hash,
	}
	l.add(subject, m.Headers(), body)
	l.wake()
}

// All returns every event of the log, oldest first. It panics on one that cannot be opened, which only a bug can make.
func (l *Log) All() []events.Recorded {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]events.Recorded, 0, len(l.messages))
	for i := range l.messages {
		r, err := l.open(i)
		if err != nil {
			panic(err)
		}
		out = append(out, r)
	}
	return out
}
