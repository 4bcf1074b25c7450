package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shiplog/internal/natslog"
	"shiplog/projections"
)

// rebuilt is the answer to a rebuild.
type rebuilt struct {
	At       string `json:"at"`
	Events   uint64 `json:"events"`
	Took     string `json:"took"`
	Compared bool   `json:"compared"` // there was a whole one to compare with
	Equal    bool   `json:"equal"`    // and it was equal
	Differs  string `json:"differs,omitempty"`
}

func answerOf(r projections.Rebuilt) rebuilt {
	return rebuilt{
		At: r.At.String(), Events: r.Events, Took: r.Took.Round(time.Millisecond).String(),
		Compared: r.Compared, Equal: r.Compared && r.Differs == "", Differs: r.Differs,
	}
}

// verdict says, for people, how the projection that was there compares.
func (r rebuilt) verdict() string {
	switch {
	case !r.Compared:
		return "there was nothing to compare with, as no whole projection was there"
	case r.Equal:
		return "the projection that was there was equal"
	}
	return "the projection that was there was not equal"
}

func newRebuildCommand(c *cli) *cobra.Command {
	var data string
	cmd := &cobra.Command{
		Use:   "rebuild",
		Short: "Replay the log from zero into a new projection, and say whether the old one was equal",
		Long: `Replay the log from zero into a new projection beside the old one, exchange the two, and say whether they were equal.
A running service does it while it goes on; where none answers, it is done here in the data directory.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r rebuilt
			err := c.call(cmd.Context(), http.MethodPost, "/v2/projection/rebuild", nil, &r)
			if lost := (*unreachableError)(nil); errors.As(err, &lost) {
				r, err = rebuildHere(cmd, data)
			}
			if err != nil {
				return err
			}
			err = c.show(cmd, r, func(w io.Writer) {
				fmt.Fprintf(w, "replayed %d events up to %s in %s: %s\n", r.Events, r.At, r.Took, r.verdict())
			})
			if r.Differs != "" && err == nil {
				return fmt.Errorf("the projection that was there differed from the log, and was replaced: %s", r.Differs)
			}
			return err
		},
	}
	cmd.Flags().StringVar(&data, "data", envOr("SHIPLOG_DATA", "data"), "data directory of the service, for when it does not run")
	return cmd
}

// rebuildHere does it without a service.
func rebuildHere(cmd *cobra.Command, data string) (_ rebuilt, err error) {
	if _, err := os.Stat(filepath.Join(data, "nats")); err != nil {
		return rebuilt{}, fmt.Errorf("no service answers, and %s is not the data directory of one: say --data DIR", data)
	}
	release, err := lock(data)
	if err != nil {
		return rebuilt{}, err
	}
	defer release()
	say(cmd, "no service answers; replaying the log in %s", data)
	quiet := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := natslog.Start(natslog.ServerOptions{Dir: filepath.Join(data, "nats"), Log: quiet})
	if err != nil {
		return rebuilt{}, err
	}
	defer func() { err = errors.Join(err, server.Close(cmd.Context())) }()
	log, err := natslog.Open(cmd.Context(), server.Conn(), natslog.Options{Log: quiet})
	if err != nil {
		return rebuilt{}, err
	}
	defer log.Close()
	r, err := projections.Rebuild(cmd.Context(), projections.Options{Path: filepath.Join(data, "projection.db"), Log: quiet}, log)
	return answerOf(r), err
}

// rebuild is POST /v2/projection/rebuild.
func (s *service) rebuild(w http.ResponseWriter, r *http.Request) {
	result, err := s.store.Rebuild(r.Context())
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = json.NewEncoder(w).Encode(map[string]string{"id": "service_unavailable", "message": err.Error()})
		return
	}
	_ = json.NewEncoder(w).Encode(answerOf(result))
}

// dump is GET /v2/projection/dump: the whole projection as text, for comparing two of them.
func (s *service) dump(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err := s.store.Dump(w); err != nil {
		fmt.Fprintf(w, "\nthe dump ends early: %v\n", err)
	}
}

// admin lets the bearer of the admin token pass.
func (s *service) admin(next http.HandlerFunc) http.Handler {
	known := adminToken(s.token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, is := known(token); !ok || !is {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintln(w, `{"id": "unauthorized", "message": "this needs the admin token"}`)
			return
		}
		next(w, r)
	})
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}
