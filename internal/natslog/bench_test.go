package natslog_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"shiplog/events"
	"shiplog/internal/natslog"
)

func push(i int64) events.Draft {
	return events.Draft{
		ID: events.NamedID("push", fmt.Sprint(i)), At: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC), Actor: "push:github", Cause: "delivery",
		Event: events.PushReceived{Provider: "github", Delivery: fmt.Sprint(i), Repository: "https://example.com/a/b.git",
			Ref: "refs/heads/main", After: "9a4df0b19a4df0b19a4df0b19a4df0b19a4df0b1", Message: "Fix the frobnicator"},
	}
}

// BenchmarkAppend measures appends of one event each to subjects of their own, by appenders that wait for each answer.
// "raw" is JetStream's own publish of the same messages.
func BenchmarkAppend(b *testing.B) {
	for _, appenders := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("log/%d", appenders), func(b *testing.B) {
			log := open(b, start(b, natslog.ServerOptions{}), natslog.Options{})
			parallel(b, appenders, func(i int64) error {
				_, err := log.Append(b.Context(), events.Append{Subject: events.AppSubject(events.NamedID(fmt.Sprint(i))), Events: []events.Draft{push(i)}})
				return err
			})
		})
		b.Run(fmt.Sprintf("raw/%d", appenders), func(b *testing.B) {
			s := start(b, natslog.ServerOptions{})
			open(b, s, natslog.Options{})
			parallel(b, appenders, func(i int64) error {
				r, err := events.Seal(events.AppSubject(events.NamedID(fmt.Sprint(i))), events.Hash{}, push(i))
				if err != nil {
					return err
				}
				_, err = natslog.JetStream(s).PublishMsg(b.Context(), natslog.Message(r), jetstream.WithExpectLastSequencePerSubject(0))
				return err
			})
		})
	}
}

func parallel(b *testing.B, workers int, f func(i int64) error) {
	b.Helper()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkReplay reads a log of 100,000 events over and over.
func BenchmarkReplay(b *testing.B) {
	log := open(b, start(b, natslog.ServerOptions{}), natslog.Options{})
	const total, batch = 100_000, 250
	for i := int64(0); i < total; i += batch {
		a := events.Append{Subject: events.AppSubject(events.NamedID(fmt.Sprint(i)))}
		for n := range int64(batch) {
			a.Events = append(a.Events, push(i+n))
		}
		if _, err := log.Append(b.Context(), a); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	read := 0
	for range b.N {
		for _, err := range log.Replay(b.Context(), events.Position{}) {
			if err != nil {
				b.Fatal(err)
			}
			read++
		}
	}
	if read != total*b.N {
		b.Fatalf("%d events, want %d", read, total*b.N)
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkHead(b *testing.B) {
	log := open(b, start(b, natslog.ServerOptions{}), natslog.Options{})
	for b.Loop() {
		if _, err := log.Head(b.Context(), "app.x"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads a history of five events, as loading an app does.
func BenchmarkRead(b *testing.B) {
	log := open(b, start(b, natslog.ServerOptions{}), natslog.Options{})
	a := events.Append{Subject: "app.x"}
	for i := range int64(5) {
		a.Events = append(a.Events, push(i))
	}
	if _, err := log.Append(b.Context(), a); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, err := range log.Read(b.Context(), "app.x", events.Position{}) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
