package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"shiplog/builder"
	"shiplog/events"
	"shiplog/internal/durable"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
	"shiplog/internal/registry"
)

// openRegistry opens the embedded registry, or the client of another one.
func (s *service) openRegistry(context.Context) error {
	var err error
	if s.config.Registry == "" {
		if s.registry, err = registry.Open(registry.Options{Dir: s.path("registry"), Log: s.log}); err != nil {
			return err
		}
		s.onClose(func() { _ = s.registry.Close() })
	}
	user, password, plain, host := s.account()
	s.images, err = builder.NewRegistry(builder.RegistryOptions{
		Host: host, User: user, Password: password, Plain: plain, Mirrors: s.config.mirrors, Allow: s.config.networks,
	})
	return err
}

// account is where the images built here are kept, and as whom.
func (s *service) account() (user, password string, plain bool, host string) {
	if s.registry != nil {
		user, password = s.registry.Credentials()
		return user, password, true, s.config.RegistryListen
	}
	u, err := url.Parse(s.config.Registry)
	if err != nil || u.Host == "" {
		return s.config.RegistryUser, s.config.RegistryPassword, false, s.config.Registry
	}
	return s.config.RegistryUser, s.config.RegistryPassword, u.Scheme == "http", u.Host
}

func (s *service) openBuilder(context.Context) (err error) {
	s.builder, err = builder.Open(builder.Options{
		Storage: s.path("storage"), Work: s.path("work"), Hide: []string{s.config.Data},
		Mirrors: s.config.mirrors, NetAllow: s.config.networks, Unsafe: s.config.UnsafeBuilds, Version: version, Log: s.log,
	})
	if err != nil {
		return fmt.Errorf("prepare for builds: %w", err)
	}
	s.onClose(func() { _ = s.builder.Close() })
	for _, w := range s.builder.Warnings() {
		s.log.Warn(w)
	}
	return nil
}

// openEngine finds the container engine. Each data directory is an instance of its own: it sees its containers only.
func (s *service) openEngine(ctx context.Context) error {
	instance, err := durable.Secret(s.path("instance"))
	if err != nil {
		return err
	}
	if s.engine, err = engine.Open(ctx, engine.Options{Host: s.config.EngineHost, Instance: instance[:16], Log: s.log}); err != nil {
		return err
	}
	info, err := s.engine.Info(ctx)
	if err != nil {
		return err
	}
	for _, w := range info.Warnings {
		s.log.Warn(w)
	}
	s.log.Info("container engine", "name", info.Name, "version", info.Version)
	return nil
}

// openIngress starts the ingress where none runs. It is a process of its own, so that requests go on when this one ends.
func (s *service) openIngress(ctx context.Context) error {
	s.ingress = ingress.NewClient(s.path("ingress.sock"))
	return s.ensureIngress(ctx)
}

func (s *service) ensureIngress(ctx context.Context) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	return ingress.Ensure(ctx, exe, ingress.Options{
		Listen: s.config.Ingress, Socket: s.path("ingress.sock"), State: s.path("ingress.json"), Version: version,
	})
}

// verifier asks a registry whether it has an image, in words that the rollout agent knows: it waits for a registry that
// cannot be reached, and for nothing else.
type verifier struct{ registry *builder.Registry }

func (v verifier) Verify(ctx context.Context, repository string, d events.Digest) error {
	_, err := v.registry.Verify(ctx, repository, d)
	if errors.Is(err, builder.ErrRegistryDown) {
		return passing{err}
	}
	return err
}

func (v verifier) Repository(image string) (repository string, plain bool, err error) {
	return v.registry.Repository(image)
}

// passing is an error that may pass by itself.
type passing struct{ error }

func (p passing) Unwrap() error { return p.error }

// Temporary reports that trying again may help.
func (passing) Temporary() bool { return true }

// ready reports whether everything that a deployment needs answers.
func (s *service) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.events.Health(ctx); err != nil {
		return err
	}
	if status := s.store.Status(); status.Trouble != "" {
		return fmt.Errorf("the projection: %s", status.Trouble)
	}
	if _, err := s.engine.Info(ctx); err != nil {
		return err
	}
	_, err := s.ingress.Health(ctx)
	return err
}
