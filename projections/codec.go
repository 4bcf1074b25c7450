package projections

import (
	"encoding/binary"
	"errors"
	"fmt"

	"shiplog/events"
)

// envelope lists the headers that are kept of an event, in the order in which they are written. It is part of the format.
var envelope = []string{
	events.HeaderID, events.HeaderType, events.HeaderVersion, events.HeaderAt, events.HeaderActor, events.HeaderCause,
	events.HeaderDeployment, events.HeaderPrev, events.HeaderReader,
}

// encodeEvent returns all of an event but its position: the hash, then subject, headers in envelope's order and payload,
// each with its length before it.
func encodeEvent(r events.Recorded) []byte {
	headers := r.Headers()
	b := make([]byte, 0, 512+len(r.Body))
	b = append(b, r.Hash[:]...)
	b = appendText(b, string(r.Subject))
	for _, name := range envelope {
		b = appendText(b, headers[name])
	}
	b = binary.AppendUvarint(b, uint64(len(r.Body)))
	return append(b, r.Body...)
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

var errShort = errors.New("it ends too early, or goes on after its end")

// decodeEvent is the inverse of encodeEvent. It copies what it keeps, and fails when the event does not have the hash
// that was stored with it.
func decodeEvent(pos events.Position, b []byte) (events.Recorded, error) {
	bad := func(err error) (events.Recorded, error) {
		return events.Recorded{}, fmt.Errorf("stored event %s: %w", pos, err)
	}
	var hash events.Hash
	if len(b) < len(hash) {
		return bad(errShort)
	}
	b = b[copy(hash[:], b):]
	ok := true
	field := func() string {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			ok = false
			return ""
		}
		s := string(b[size : size+int(n)])
		b = b[size+int(n):]
		return s
	}
	subject := events.Subject(field())
	var values [16]string
	for i := range envelope {
		values[i] = field()
	}
	body := []byte(field())
	if !ok || len(b) != 0 {
		return bad(errShort)
	}
	header := func(name string) string {
		for i, n := range envelope {
			if n == name {
				return values[i]
			}
		}
		return ""
	}
	r, err := events.Open(pos, subject, header, body)
	if err != nil {
		return bad(err)
	}
	if r.Hash != hash {
		return bad(fmt.Errorf("its hash is %s, not %s", r.Hash, hash))
	}
	return r, nil
}
