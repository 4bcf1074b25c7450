package events

import (
	"context"
	"errors"
	"iter"
)

// Append is what a decision adds to one subject. The events of several subjects can be committed together: as one batch,
// wholly or not at all.
type Append struct {
	Subject Subject
	Expect  Head    // the subject's last event when the decision was taken; the append is refused when there is a newer one
	Events  []Draft // one or more, in order
	Urgent  bool    // may use the room that a filling log keeps back: rollback, pin, stop and the end of work under way
}

// Log is an append-only record of events with one hash chain per subject.
//
// Two implementations keep this contract (internal/logtest checks it): internal/natslog, which is durable, and
// internal/memlog, which is for tests.
type Log interface {
	// Append commits every event of the batch, or none. When it returns nil the events are durable: they survive a kill
	// and a power cut. The same batch appended again (the same drafts, times too, after the same heads) returns what the
	// first one wrote; the same event id with anything else changed is [ErrConflict].
	//
	// Errors: [ErrConflict] when a subject moved past its Expect (load, decide and append again); [ErrFull] when the log
	// keeps its last room for rollback, pin and stop; [ErrTooLarge]; [ErrUnavailable] when nothing is known to have been
	// written and trying later may work. An append whose outcome was lost on the way is looked up before it returns; if
	// that too fails the error is [ErrUnavailable], and the same batch may be appended again.
	Append(ctx context.Context, batch ...Append) ([]Recorded, error)

	// Head returns the last event of the subject, as the log's leader knows it. An empty subject has the zero Head.
	Head(ctx context.Context, subject Subject) (Head, error)

	// Reading after a position of another epoch fails with [ErrConflict], after one beyond the end with [ErrCorrupt]: see
	// [CheckAfter]. Events that are missing, or do not follow the one before, are [ErrCorrupt] too. The zero position is
	// before the first event. The loop's body may use the log.

	// Read yields the events of one subject after a position, oldest first, and ends with the last. It stops at the first
	// error, which it yields.
	Read(ctx context.Context, subject Subject, after Position) iter.Seq2[Recorded, error]

	// Replay yields every event after a position, in log order, up to the last one at the time of the call.
	Replay(ctx context.Context, after Position) iter.Seq2[Recorded, error]

	// Follow is Replay that then waits for more. It ends when ctx does (without an error) or yields an error.
	Follow(ctx context.Context, after Position) iter.Seq2[Recorded, error]

	// Last returns the position of the newest event; the zero sequence when there is none. Its epoch identifies the
	// stream: positions of another epoch mean another log.
	Last(ctx context.Context) (Position, error)
}

// Errors of a log. They are matched with errors.Is.
var (
	ErrConflict    = errors.New("the history moved on")
	ErrFull        = errors.New("the log is full")
	ErrUnavailable = errors.New("the log is not available")
	ErrCorrupt     = errors.New("the log is damaged")
)
