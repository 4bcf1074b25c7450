package natslog

import (
	"context"
	"fmt"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"shiplog/events"
)

// watchdog restarts the embedded server when it says that it is ill and the disk takes data. After a full disk a stream
// stays stuck until then, and nothing but its health tells.
func (s *Server) watchdog(ctx context.Context) {
	defer close(s.done)
	tick := time.NewTicker(s.opts.watch)
	defer tick.Stop()
	ill := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := s.healthy()
		if err == nil {
			s.trouble.Store(nil)
			ill = 0
			continue
		}
		s.trouble.Store(&err)
		if ill++; ill < 2 {
			continue
		}
		if perr := probe(s.opts.Dir); perr != nil {
			s.log.Error("the log's store is stuck and its disk takes no data: free some space", "dir", s.opts.Dir, "error", perr)
			continue
		}
		s.log.Warn("restarting the embedded NATS server", "because", err)
		if err := s.restart(); err != nil {
			s.log.Error("the embedded NATS server does not start; trying again", "error", err)
			continue
		}
		s.log.Info("the embedded NATS server is back")
		s.trouble.Store(nil)
		ill = 0
	}
}

func (s *Server) restart() error {
	s.shutdown()
	return s.boot()
}

// healthy asks the server about itself: a stream that could not write makes it ill, and it stays so. On a machine under
// load it also says for a moment that it is not ready, because it gives itself one millisecond to answer: it is asked
// again before it is believed.
func (s *Server) healthy() (err error) {
	for try := range 5 {
		if try > 0 {
			time.Sleep(50 * time.Millisecond)
		}
		if err = s.ask(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) ask() error {
	embedded := s.current()
	if embedded == nil {
		return fmt.Errorf("%w: the embedded NATS server is restarting", events.ErrUnavailable)
	}
	if h := embedded.Healthz(&natsserver.HealthzOptions{}); h.StatusCode != 200 {
		return fmt.Errorf("%w: the embedded NATS server says %s: %s", events.ErrUnavailable, h.Status, h.Error)
	}
	return nil
}
