package natslog_test

import (
	"context"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/logtest"
	"shiplog/internal/natslog"
)

// start runs an embedded server in a directory of the test.
func start(t testing.TB, o natslog.ServerOptions) *natslog.Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := natslog.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func open(t testing.TB, s *natslog.Server, o natslog.Options) *natslog.Log {
	t.Helper()
	log, err := natslog.Open(t.Context(), s.Conn(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func TestContract(t *testing.T) {
	logtest.Run(t, func(t *testing.T) events.Log { return open(t, start(t, natslog.ServerOptions{}), natslog.Options{}) })
}
