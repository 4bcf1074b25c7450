package natslog

import (
	"context"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
)

// Forge makes Log a logtest.Forger. It panics when it fails: a test cannot go on.
func (l *Log) Forge(subject events.Subject, name string, version, reader int, body []byte) {
	head, err := l.Head(context.Background(), subject)
	if err != nil {
		panic(err)
	}
	m := events.Meta{
		ID: events.NamedID("forged", string(subject), strconv.FormatUint(head.Position.Sequence, 10)), Type: name, Version: version,
		Reader: reader, At: time.Now(), Actor: events.Self, Prev: head.Hash,
	}
	msg := &nats.Msg{Subject: l.wire(subject), Data: body, Header: nats.Header{}}
	for k, v := range m.Headers() {
		msg.Header.Set(k, v)
	}
	if _, err := l.conn.leader.PublishMsg(context.Background(), msg); err != nil {
		panic(err)
	}
}

// JetStream is the server's own interface, to compare with.
func JetStream(s *Server) jetstream.JetStream { return s.conn.leader }

// Message is an event as a message under the default root.
func Message(r events.Recorded) *nats.Msg {
	msg := &nats.Msg{Subject: "shiplog." + string(r.Subject), Data: r.Body, Header: nats.Header{}}
	for k, v := range r.Headers() {
		msg.Header[k] = []string{v}
	}
	return msg
}

// StreamConfig is what Open would create for epoch 1.
func StreamConfig() jetstream.StreamConfig { return Options{}.withDefaults().stream(1) }

// Restart does what the watchdog does.
func (s *Server) Restart() error { return s.restart() }

// FillDisk lets appends run into a full disk, and the watchdog look often.
func (o ServerOptions) FillDisk() ServerOptions {
	o.fillDisk, o.watch = true, 200*time.Millisecond
	return o
}

// Duplicates sets the window of the server's own check of ids.
func (o Options) Duplicates(d time.Duration) Options {
	o.duplicates = d
	return o
}

// Inject writes an event as it is, whatever came before it.
func (l *Log) Inject(r events.Recorded) {
	if _, err := l.conn.leader.PublishMsg(context.Background(), Message(r)); err != nil {
		panic(err)
	}
}
