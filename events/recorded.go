package events

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ReaderVersion is the reader this program is. An event that names a higher one is Unknown here.
const ReaderVersion = 1

// Position is a place in the log. The epoch rises when a log is rolled or repaired into a new stream; within one,
// sequences rise by one. The zero value is before the first event.
type Position struct {
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
}

// Compare orders positions: -1, 0 or +1.
func (p Position) Compare(q Position) int {
	switch {
	case p == q:
		return 0
	case p.Epoch < q.Epoch, p.Epoch == q.Epoch && p.Sequence < q.Sequence:
		return -1
	}
	return 1
}

// String is "epoch/sequence".
func (p Position) String() string { return fmt.Sprintf("%d/%d", p.Epoch, p.Sequence) }

// Hash is the SHA-256 of a recorded event. The zero value stands before the first event of a subject.
type Hash [sha256.Size]byte

// String is lower-case hex, or "" for the zero value.
func (h Hash) String() string {
	if h == (Hash{}) {
		return ""
	}
	return hex.EncodeToString(h[:])
}

// MarshalText writes the String form.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (h *Hash) UnmarshalText(b []byte) error {
	*h = Hash{}
	if len(b) == 0 {
		return nil
	}
	if n, err := hex.Decode(h[:], b); err != nil || n != len(h) || len(b) != 2*len(h) {
		return fmt.Errorf("%q is not a hash (64 hex digits)", clip(string(b)))
	}
	return nil
}

// Actor is who acted, in header-safe characters: "token:admin", "push:github", "shiplog".
type Actor string

// Self is the service acting by itself: a reactor, a timer.
const Self Actor = "shiplog"

// NewActor makes an actor of a kind and an outside name; characters a header cannot hold become "-".
func NewActor(kind, name string) Actor { return Actor(kind + ":" + HeaderSafe(name)) }

// HeaderSafe replaces what may not stand in an envelope header by "-" and cuts at 128 bytes.
func HeaderSafe(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && isHeaderByte(byte(r)) {
			return r
		}
		return '-'
	}, s)
	return s[:min(len(s), 128)]
}

func isHeaderByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte(":._-", c) >= 0
}

// Meta is an event's envelope.
type Meta struct {
	ID         ID        `json:"id"`
	Type       string    `json:"type"`
	Version    int       `json:"version"`
	At         time.Time `json:"at"` // UTC, to the microsecond
	Actor      Actor     `json:"actor"`
	Cause      string    `json:"cause"`                // the command, delivery or event that led to it
	Deployment ID        `json:"deployment,omitempty"` // "" when it belongs to none
	Prev       Hash      `json:"prev"`                 // hash of the subject's event before it
	Reader     int       `json:"reader"`               // oldest reader that understands it
}

// Draft is an event about to be appended.
type Draft struct {
	ID         ID
	At         time.Time
	Actor      Actor
	Cause      string
	Deployment ID
	Event      Event
}

// Recorded is an event in the log.
type Recorded struct {
	Position Position
	Subject  Subject
	Meta
	Hash  Hash   // of everything above but the position, and of Body
	Body  []byte // the payload as it was written
	Event Event
}

// Head is the last event of a subject. The zero value is an empty subject.
type Head struct {
	Position Position `json:"position"`
	ID       ID       `json:"id"`
	Hash     Hash     `json:"hash"`
}

// Head returns what the event is as the last of its subject.
func (r Recorded) Head() Head { return Head{r.Position, r.ID, r.Hash} }

// Header names of the envelope. Nats-Msg-Id carries the event's id, so that the server's own duplicate check is ours too.
const (
	HeaderID         = "Nats-Msg-Id"
	HeaderType       = "Shiplog-Type"
	HeaderVersion    = "Shiplog-Version"
	HeaderAt         = "Shiplog-At"
	HeaderActor      = "Shiplog-Actor"
	HeaderCause      = "Shiplog-Cause"
	HeaderDeployment = "Shiplog-Deployment"
	HeaderPrev       = "Shiplog-Prev"
	HeaderReader     = "Shiplog-Reader"
)

const timeFormat = "2006-01-02T15:04:05.000000Z"

// headers lists the envelope in the order that the hash covers it.
func (m Meta) headers() [][2]string {
	return [][2]string{
		{HeaderID, string(m.ID)},
		{HeaderType, m.Type},
		{HeaderVersion, strconv.Itoa(m.Version)},
		{HeaderAt, m.At.UTC().Format(timeFormat)},
		{HeaderActor, string(m.Actor)},
		{HeaderCause, m.Cause},
		{HeaderDeployment, string(m.Deployment)},
		{HeaderPrev, m.Prev.String()},
		{HeaderReader, strconv.Itoa(m.Reader)},
	}
}

// Headers returns the envelope as message headers; empty ones are left out.
func (m Meta) Headers() map[string]string {
	out := map[string]string{}
	for _, h := range m.headers() {
		if h[1] != "" {
			out[h[0]] = h[1]
		}
	}
	return out
}

// Seal makes a recorded event of a draft that follows prev on subject. The position is set once the log gave one.
//
// What it makes can be read again by Open: an id that is not a UUID, a header with a forbidden character, and an event
// whose own payload does not decode (a revision that is not one) are refused here, before they are in a log for ever.
// The Event it returns is the decoded payload, so that writer and reader see the same value.
func Seal(subject Subject, prev Hash, d Draft) (Recorded, error) {
	name, version := TypeOf(d.Event)
	bad := func(err error) (Recorded, error) {
		return Recorded{}, fmt.Errorf("%s on %s: %w", name, clip(string(subject)), err)
	}
	if err := subject.Check(); err != nil {
		return bad(err)
	}
	body, err := Encode(d.Event)
	if err != nil {
		return bad(err)
	}
	r := Recorded{Subject: subject, Body: body, Event: Decode(name, version, body), Meta: Meta{
		ID: d.ID, Type: name, Version: version, At: d.At.UTC().Truncate(time.Microsecond), Actor: d.Actor,
		Cause: d.Cause, Deployment: d.Deployment, Prev: prev, Reader: ReaderVersion,
	}}
	if u, ok := r.Event.(Unknown); ok {
		return bad(fmt.Errorf("it could not be read again: %s", u.Why))
	}
	if err := r.check(); err != nil {
		return bad(err)
	}
	r.Hash = r.sum()
	return r, nil
}

// maxHeaders is the most that the values of an envelope may hold together: with MaxBytes it keeps an event under 64 KiB.
const maxHeaders = 1536

// check refuses an envelope that could not stand in the log or could not be read again.
func (m Meta) check() error {
	if id, err := ParseID(string(m.ID)); err != nil || id != m.ID {
		return fmt.Errorf("%s: %q is not a lower-case UUID", HeaderID, clip(string(m.ID)))
	}
	if y := m.At.Year(); y < 1 || y > 9999 {
		return fmt.Errorf("%s: the year %d has not four digits", HeaderAt, y)
	}
	total := 0
	for _, h := range m.headers() {
		total += len(h[1])
		for i := range len(h[1]) {
			if !isHeaderByte(h[1][i]) {
				return fmt.Errorf("%s: %q holds a character that a header may not", h[0], clip(h[1]))
			}
		}
	}
	if total > maxHeaders {
		return fmt.Errorf("%w: its envelope has %d bytes, at most %d", ErrTooLarge, total, maxHeaders)
	}
	return nil
}

// Open reads a message of the log: the inverse of Seal. A message whose envelope cannot be read, or is not written the
// way Seal writes it, is an error; an event that is not understood is not (see [Unknown]).
func Open(pos Position, subject Subject, header func(string) string, body []byte) (Recorded, error) {
	r := Recorded{Position: pos, Subject: subject, Body: body}
	bad := func(name string, err error) (Recorded, error) {
		return Recorded{}, fmt.Errorf("event %s on %s: %s: %w", pos, clip(string(subject)), name, err)
	}
	var err error
	if r.ID, err = ParseID(header(HeaderID)); err != nil {
		return bad(HeaderID, err)
	}
	if r.Version, err = strconv.Atoi(header(HeaderVersion)); err != nil {
		return bad(HeaderVersion, err)
	}
	if r.Reader, err = strconv.Atoi(header(HeaderReader)); err != nil {
		return bad(HeaderReader, err)
	}
	if r.At, err = time.Parse(timeFormat, header(HeaderAt)); err != nil {
		return bad(HeaderAt, err)
	}
	if err = r.Prev.UnmarshalText([]byte(header(HeaderPrev))); err != nil {
		return bad(HeaderPrev, err)
	}
	r.Type, r.Actor, r.Cause = header(HeaderType), Actor(header(HeaderActor)), header(HeaderCause)
	r.Deployment = ID(header(HeaderDeployment))
	lines := r.headers()
	for _, h := range lines {
		if got := header(h[0]); got != h[1] {
			return bad(h[0], fmt.Errorf("%q is not how %q is written", clip(got), clip(h[1])))
		}
	}
	r.Event = Decode(r.Type, r.Version, body)
	if r.Reader > ReaderVersion {
		r.Event = Unknown{r.Type, r.Version, fmt.Sprintf("it needs reader version %d", r.Reader)}
	}
	r.Hash = sum(subject, lines, body)
	return r, nil
}

// sum hashes the event as it stands.
func (r Recorded) sum() Hash { return sum(r.Subject, r.headers(), r.Body) }

// sum hashes subject, envelope and body, each with its length before it, so that nothing can move across a border.
func sum(subject Subject, headers [][2]string, body []byte) Hash {
	b := make([]byte, 0, 1024+len(body))
	b = appendField(b, string(subject))
	for _, kv := range headers {
		b = appendField(b, kv[0])
		b = appendField(b, kv[1])
	}
	b = binary.BigEndian.AppendUint64(b, uint64(len(body)))
	return sha256.Sum256(append(b, body...))
}

func appendField(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
}
