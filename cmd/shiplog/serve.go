package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"shiplog/builder"
	"shiplog/gitwatch"
	"shiplog/internal/deploy"
	"shiplog/internal/durable"
	"shiplog/internal/engine"
	"shiplog/internal/git"
	"shiplog/internal/ingress"
	"shiplog/internal/natslog"
	"shiplog/internal/reactor"
	"shiplog/internal/registry"
	"shiplog/internal/secrets"
	"shiplog/projections"
)

// stopTime is how long an orderly stop may take.
const stopTime = 10 * time.Second

func newServeCommand() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the service",
		Long: `Run the service: the API, the git remote, the webhooks, the registry, the builder and, as a process of its own that
outlives it, the ingress. Every flag can also be given as an environment variable: --public-url as SHIPLOG_PUBLIC_URL.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(fromEnvironment(cmd), c.check()); err != nil {
				return usage("%v", err)
			}
			return serve(cmd.Context(), c, slog.New(slog.NewTextHandler(os.Stderr, nil)))
		},
	}
	c.flags(cmd.Flags())
	return cmd
}

// serve runs the service until ctx ends.
func serve(ctx context.Context, c config, log *slog.Logger) error {
	s, err := open(ctx, c, log)
	if err != nil {
		return noRoom(c.Data, err)
	}
	defer s.close()
	return s.run(ctx)
}

// leastRoom is how many bytes must be free on the data directory's disk for a start.
const leastRoom = 8 << 20

// noRoom says what to do about a start that failed on a full disk. What failed first is seldom what is wrong.
func noRoom(data string, err error) error {
	var st unix.Statfs_t
	if unix.Statfs(data, &st) != nil || st.Bavail*uint64(st.Bsize) >= leastRoom {
		return err
	}
	return fmt.Errorf("the disk of %s is full: make room there and start again (%w)", data, err)
}

// service is the whole of Shiplog, wired.
type service struct {
	config config
	log    *slog.Logger
	token  string

	nats        *natslog.Server
	events      *natslog.Log
	lines       *natslog.Lines
	ignored     *natslog.Deliveries
	store       *projections.Store
	handler     *deploy.Handler
	secrets     *secrets.Store
	registry    *registry.Registry // nil with an external one
	images      *builder.Registry
	builder     *builder.Builder
	engine      *engine.Docker
	ingress     *ingress.Client
	remote      *git.Remote
	watch       *gitwatch.Watch
	hookSecrets *hookSecrets
	reactor     *reactor.Reactor

	servers []*http.Server
	closers []func() // run in reverse
}

// open makes every part, from the log outwards. What was opened is closed again when a later part fails.
func open(ctx context.Context, c config, log *slog.Logger) (_ *service, err error) {
	s := &service{config: c, log: log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openData, s.openLog, s.openProjection, s.openRegistry, s.openBuilder, s.openEngine, s.openIngress, s.openGit, s.openReactor,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *service) path(name ...string) string {
	return filepath.Join(append([]string{s.config.Data}, name...)...)
}

func (s *service) onClose(f func()) { s.closers = append(s.closers, f) }

func (s *service) close() {
	for i := len(s.closers) - 1; i >= 0; i-- {
		s.closers[i]()
	}
	s.closers = nil
}

func (s *service) openData(context.Context) error {
	release, err := lock(s.config.Data)
	if err != nil {
		return err
	}
	s.onClose(release)
	if s.token, err = durable.Secret(s.path("admin.token")); err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	s.secrets, err = secrets.Open(s.path("secrets"), s.path("keys"))
	return err
}

func (s *service) openLog(ctx context.Context) error {
	var err error
	if s.nats, err = natslog.Start(natslog.ServerOptions{Dir: s.path("nats"), Log: s.log}); err != nil {
		return err
	}
	s.onClose(func() { s.must("stop the log", s.nats.Close) })
	if s.events, err = natslog.Open(ctx, s.nats.Conn(), natslog.Options{Log: s.log}); err != nil {
		return err
	}
	s.onClose(func() { _ = s.events.Close() })
	if s.lines, err = natslog.OpenLines(ctx, s.nats.Conn(), natslog.SideOptions{}); err != nil {
		return err
	}
	s.ignored, err = natslog.OpenDeliveries(ctx, s.nats.Conn(), natslog.SideOptions{})
	return err
}

func (s *service) openProjection(context.Context) error {
	var err error
	if s.store, err = projections.Open(projections.Options{Path: s.path("projection.db"), Log: s.log}); err != nil {
		return err
	}
	s.onClose(func() { _ = s.store.Close() })
	s.handler = deploy.NewHandler(s.events, s.store)
	return nil
}

// must runs a part's orderly end within the stop time, and says when it fails: there is nobody left to return it to.
func (s *service) must(what string, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime/2)
	defer cancel()
	if err := end(ctx); err != nil {
		s.log.Error("cannot "+what, "error", err)
	}
}

// run serves until ctx ends, then stops in order: no new requests, no new work, then the log.
func (s *service) run(ctx context.Context) error {
	work, stop := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer func() { stop(); s.await(&tasks) }()
	tasks.Go(func() { s.again(work, "the projection", func() error { return s.store.Run(work, s.events) }) })
	tasks.Go(func() { s.again(work, "the reactor", func() error { return s.reactor.Run(work) }) })
	tasks.Go(func() { s.compareRemotes(work) })
	tasks.Go(func() { s.watchEngine(work) })
	tasks.Go(func() { s.watchIngress(work) })
	failed := make(chan error, 4)
	if err := s.listen(failed); err != nil {
		return err
	}
	s.log.Info("ready", "url", s.config.PublicURL, "apps", "http://<app>."+s.config.Domain+":"+portOf(s.config.Ingress), "token", s.path("admin.token"), "version", version)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.log.Info("stopping; the apps and the ingress go on")
	s.shutdown()
	return err
}

// await waits for what is under way, for a part of the stop time. What does not end by then waits for something outside,
// like a container engine that hangs; it ends with the process, and the next start takes it up.
func (s *service) await(tasks *sync.WaitGroup) {
	ended := make(chan struct{})
	go func() { tasks.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopTime * 2 / 5):
		s.log.Warn("not all work under way ends; the next start takes it up")
	}
}

// again runs a part that should never end, and runs it again when it does.
func (s *service) again(ctx context.Context, what string, run func() error) {
	for ctx.Err() == nil {
		if err := run(); err != nil && ctx.Err() == nil {
			s.log.Error(what+" stopped and is started again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
