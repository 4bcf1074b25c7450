package main

import (
	"context"
	"fmt"
	"time"

	"shiplog/builder"
	"shiplog/events"
	"shiplog/internal/deploy"
	"shiplog/internal/reactor"
	"shiplog/internal/rollout"
)

// openReactor gives every action its hand.
func (s *service) openReactor(context.Context) error {
	user, password, plain, host := s.account()
	agent := &rollout.Agent{
		Desk: s.handler, Engine: s.engine, Ingress: s.ingress, Images: verifier{s.images}, Secrets: s.secrets, Logs: s.lines,
		Registry: host, User: user, Pass: password, Plain: plain, Domain: s.config.Domain, Now: time.Now,
	}
	worker := &builder.Worker{
		Desk: s.handler, Builder: s.builder, Secrets: s.secrets, Logs: s.lines, Source: s.source,
		Name: "local", Registry: host, User: user, Password: password, Plain: plain, Now: time.Now,
	}
	s.reactor = reactor.New(reactor.Options{
		Desk: s.handler, Log: s.events, Apps: s.known, Slog: s.log,
		Pools: map[deploy.ActionKind]int{deploy.ActBuild: s.config.Builds, deploy.ActHold: 16, deploy.ActJudge: 64},
		Hands: map[deploy.ActionKind]reactor.Hand{
			deploy.ActJudge: func(ctx context.Context, app deploy.App, a deploy.Action) error {
				return s.watch.Judge(ctx, app.ID, a.Push)
			},
			deploy.ActBuild:   worker.Build,
			deploy.ActRollout: agent.Rollout,
			deploy.ActHold:    agent.Hold,
			deploy.ActUnpin:   s.expire,
		},
	})
	return nil
}

// expire ends a pin whose time is over.
func (s *service) expire(ctx context.Context, app deploy.App, a deploy.Action) error {
	_, err := s.handler.Do(ctx, app.ID, deploy.Order{
		ID: fmt.Sprintf("expire:%s:%d", a.Component, a.At.UnixNano()), Actor: events.Self, At: time.Now(),
		Command: deploy.Unpin{Component: a.Component, Why: events.UnpinExpired},
	})
	return err
}
