package natslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"shiplog/events"
)

// Headers of atomic batches (ADR-50) and expectations.
const (
	headerBatch    = "Nats-Batch-Id"
	headerSequence = "Nats-Batch-Sequence"
	headerCommit   = "Nats-Batch-Commit"
	headerExpect   = "Nats-Expected-Last-Subject-Sequence"
)

// Error codes of JetStream that we act on. Descriptions change, codes do not.
const (
	codeNoResources    = 10023 // the server's store is full
	codeAccountFull    = 10002
	codeWrongLast      = 10071
	codeStoreFailed    = 10077 // MaxBytes is reached, or the disk failed
	codeWrongLastConst = 10164 // the same, on a replicated stream
	codeIncomplete     = 10176 // a batch of which a part was not taken
	codeDuplicate      = 10201 // a batch that holds an id of the last ten minutes
	codeManyInflight   = 10210
)

// apiError is a refusal by JetStream.
type apiError struct {
	Code        int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("JetStream refused it: %s (%d)", e.Description, e.Code)
}

// errDuplicate is the server's word that a single event's id was seen in the last ten minutes.
var errDuplicate = errors.New("the event id is known")

// code returns the JetStream error code of a refusal, 0 for any other error.
func code(err error) int {
	var api *apiError
	if errors.As(err, &api) {
		return api.Code
	}
	return 0
}

// isRefusal reports whether a batch was refused for what one of its members asks: the others can go by themselves.
func isRefusal(err error) bool {
	switch code(err) {
	case codeWrongLast, codeWrongLastConst, codeDuplicate, codeManyInflight, codeIncomplete:
		return true
	}
	return false
}

// isConflict reports whether the server says that some subject of a single append moved on, or knows an event's id.
func isConflict(err error) bool {
	switch code(err) {
	case codeWrongLast, codeWrongLastConst, codeDuplicate:
		return true
	}
	return errors.Is(err, errDuplicate)
}

// publish sends the events of a group as one atomic batch, or as a plain message when there is one, and waits until they are
// stored. It returns the sequence of the last.
func (l *Log) publish(group []*request) (uint64, error) {
	ctx, cancel := l.bound(context.Background())
	defer cancel()
	msgs := l.messages(group)
	final := msgs[len(msgs)-1]
	if len(msgs) > 1 {
		id := string(events.NewID())
		for i, msg := range msgs {
			msg.Header[headerBatch] = []string{id}
			msg.Header[headerSequence] = []string{strconv.Itoa(i + 1)}
		}
		final.Header[headerCommit] = []string{"1"}
		for _, msg := range msgs[:len(msgs)-1] {
			if err := l.conn.write.PublishMsg(msg); err != nil {
				return 0, err
			}
		}
	}
	reply, err := l.conn.write.RequestMsgWithContext(ctx, final)
	if err != nil {
		return 0, err
	}
	var ack struct {
		Error     *apiError `json:"error"`
		Sequence  uint64    `json:"seq"`
		Duplicate bool      `json:"duplicate"`
		Count     int       `json:"count"`
	}
	switch err := json.Unmarshal(reply.Data, &ack); {
	case err != nil:
		return 0, fmt.Errorf("JetStream's answer cannot be read: %w", err)
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Duplicate:
		return 0, errDuplicate
	case ack.Sequence < uint64(len(msgs)), len(msgs) > 1 && ack.Count != len(msgs):
		return 0, fmt.Errorf("JetStream answered with sequence %d and %d messages, to a batch of %d", ack.Sequence, ack.Count, len(msgs))
	}
	return ack.Sequence, nil
}

// messages makes the messages of a group. Only the first of a subject carries the expectation: a second one is refused.
func (l *Log) messages(group []*request) []*nats.Msg {
	var msgs []*nats.Msg
	for _, r := range group {
		i := 0
		for _, a := range r.batch {
			for n := range a.Events {
				sealed := r.sealed[i]
				msg := &nats.Msg{Subject: l.wire(sealed.Subject), Data: sealed.Body, Header: nats.Header{}}
				for k, v := range sealed.Headers() {
					msg.Header[k] = []string{v}
				}
				if n == 0 {
					msg.Header[headerExpect] = []string{strconv.FormatUint(a.Expect.Position.Sequence, 10)}
				}
				msgs = append(msgs, msg)
				i++
			}
		}
	}
	return msgs
}
