package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits of every server here; bodies are bounded where they are read.
const (
	headerTimeout  = 5 * time.Second
	maxHeaderBytes = 16 << 10
	idleTimeout    = 2 * time.Minute
)

// listen opens every address before anything is served, so that a taken one is an error and not half a service.
func (s *service) listen(failed chan<- error) error {
	all := s.routes()
	hooks := all
	if s.config.HooksListen != "" {
		hooks = http.NewServeMux()
		hooks.Handle("/hooks/", s.hooks())
	} else {
		all.Handle("/hooks/", s.hooks())
	}
	type place struct {
		flag, addr string
		handler    http.Handler
	}
	places := []place{{"--listen", s.config.Listen, all}}
	if s.config.HooksListen != "" {
		places = append(places, place{"--hooks-listen", s.config.HooksListen, hooks})
	}
	if s.registry != nil {
		places = append(places, place{"--registry-listen", s.config.RegistryListen, s.registry})
	}
	for _, p := range places {
		l, err := net.Listen("tcp", p.addr)
		if err != nil {
			return fmt.Errorf("%s %s: %w: is another shiplog running, or does something else use the port?", p.flag, p.addr, err)
		}
		server := &http.Server{Handler: p.handler, ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: maxHeaderBytes, IdleTimeout: idleTimeout}
		s.servers = append(s.servers, server)
		go func() {
			if err := server.Serve(l); err != http.ErrServerClosed {
				failed <- fmt.Errorf("serve %s: %w", p.addr, err)
			}
		}()
	}
	return nil
}

// shutdown lets requests under way finish for a while, then ends them.
func (s *service) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime/4)
	defer cancel()
	for _, server := range s.servers {
		if err := server.Shutdown(ctx); err != nil {
			_ = server.Close() // followers of logs never finish by themselves
		}
	}
}

// routes is everything at --listen but the webhooks.
func (s *service) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/v2/", s.api())
	mux.Handle("/git/", s.remote)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { answer(w, s.events.Health(r.Context())) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { answer(w, s.ready(r.Context())) })
	mux.Handle("POST /v2/projection/rebuild", s.admin(s.rebuild))
	mux.Handle("GET /v2/projection/dump", s.admin(s.dump))
	mux.Handle("DELETE /v2/build-cache", s.admin(s.clearCache))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "Shiplog %s\n\nThe API is at /v2/apps, the git remotes are at /git/<app>.git.\nOn the command line: shiplog --help\n", version)
	})
	return mux
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	reply := map[string]string{"status": "ok", "version": version}
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		reply["status"], reply["message"] = "unavailable", err.Error()
	}
	_ = json.NewEncoder(w).Encode(reply) // the reader is gone if this fails
}
