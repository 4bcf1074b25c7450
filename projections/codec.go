package projections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"shiplog/events"
)

// encodeEvent returns all of an event but its position: hash, predecessor's hash, time, versions, then subject, id, type,
// actor, cause, deployment and payload, each with its length before it. The log's own message follows from that byte for
// byte, which the hash proves.
func encodeEvent(r events.Recorded) []byte {
	b := make([]byte, 0, 320+len(r.Body))
	b = append(b, r.Hash[:]...)
	b = append(b, r.Prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.At.UnixMicro()))
	b = binary.AppendVarint(b, int64(r.Version))
	b = binary.AppendVarint(b, int64(r.Reader))
	for _, s := range []string{string(r.Subject), string(r.ID), r.Type, string(r.Actor), r.Cause, string(r.Deployment)} {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Body)))
	return append(b, r.Body...)
}

var errShort = errors.New("it ends too early, or goes on after its end")

// decodeEvent is the inverse of encodeEvent. It copies what it keeps, and fails when the event does not have the hash
// that was stored with it.
func decodeEvent(pos events.Position, b []byte) (events.Recorded, error) {
	bad := func(err error) (events.Recorded, error) {
		return events.Recorded{}, fmt.Errorf("stored event %s: %w", pos, err)
	}
	in := reader{b: b}
	var hash events.Hash
	var m events.Meta
	copy(hash[:], in.take(len(hash)))
	copy(m.Prev[:], in.take(len(m.Prev)))
	if at := in.take(8); at != nil {
		m.At = time.UnixMicro(int64(binary.BigEndian.Uint64(at))).UTC()
	}
	m.Version, m.Reader = in.varint(), in.varint()
	subject := events.Subject(in.text())
	m.ID, m.Type, m.Actor, m.Cause, m.Deployment = events.ID(in.text()), in.text(), events.Actor(in.text()), in.text(), events.ID(in.text())
	body := []byte(in.text())
	if in.short || len(in.b) != 0 {
		return bad(errShort)
	}
	headers := m.Headers()
	r, err := events.Open(pos, subject, func(name string) string { return headers[name] }, body)
	if err != nil {
		return bad(err)
	}
	if r.Hash != hash {
		return bad(fmt.Errorf("its hash is %s, not %s", r.Hash, hash))
	}
	return r, nil
}

// reader takes fields off the front of b.
type reader struct {
	b     []byte
	short bool // b ended too early
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.short, r.b = true, nil
		return nil
	}
	field := r.b[:n]
	r.b = r.b[n:]
	return field
}

func (r *reader) varint() int {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.short, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return int(n)
}

func (r *reader) text() string {
	n, size := binary.Uvarint(r.b)
	if size <= 0 || n > uint64(len(r.b)) {
		r.short, r.b = true, nil
		return ""
	}
	r.b = r.b[size:]
	return string(r.take(int(n)))
}
