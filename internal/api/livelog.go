package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

const (
	// pingEvery finds out that a reader is gone; writeTime sheds one that does not read.
	pingEvery = 30 * time.Second
	writeTime = 10 * time.Second
)

// liveMessage is what a live log's web socket carries: one line with its break.
type liveMessage struct {
	Data string `json:"data"`
}

// logLive sends lines over a web socket as they come, and closes it normally when there will be no more.
func (s *server) logLive(w http.ResponseWriter, r *http.Request) error {
	req, err := s.signedLog(r)
	if err != nil {
		return err
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return badRequest("a live log is a web socket: connect to it with ws:// or wss://")
	}
	var origins []string
	if u, err := url.Parse(s.PublicURL); err == nil && u.Host != "" {
		origins = []string{u.Host}
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{OriginPatterns: origins})
	if err != nil {
		return nil // Accept has answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context())) // the connection was taken over: its end is seen by reading
	defer cancel()
	go discard(ctx, cancel, conn)
	go keepAlive(ctx, cancel, conn)
	for line, err := range s.coming(ctx, req) {
		if err != nil {
			s.Log.Warn("live log ends early", "request_id", requestID(r), "app", req.app, "err", err)
			_ = conn.Close(websocket.StatusInternalError, "the log cannot be read further")
			return nil
		}
		message, _ := json.Marshal(liveMessage{line}) // a string cannot fail to encode
		write, done := context.WithTimeout(ctx, writeTime)
		err = conn.Write(write, websocket.MessageText, message)
		done()
		if err != nil {
			return nil // the reader is gone
		}
	}
	_ = conn.Close(websocket.StatusNormalClosure, "")
	return nil
}

// discard reads what the client sends (doctl repeats its token to keep the connection alive) until it goes away.
func discard(ctx context.Context, gone func(), conn *websocket.Conn) {
	defer gone()
	for {
		_, message, err := conn.Reader(ctx)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, message); err != nil {
			return
		}
	}
}

func keepAlive(ctx context.Context, gone func(), conn *websocket.Conn) {
	for sleep(ctx, pingEvery) {
		ping, done := context.WithTimeout(ctx, writeTime)
		err := conn.Ping(ping)
		done()
		if err != nil {
			gone()
			return
		}
	}
}

// FollowLog reads a live log: the client's side of the web socket that a live_url names. It ends without an error when
// the service says that there is no more, or when ctx ends.
func FollowLog(ctx context.Context, client *http.Client, liveURL string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		conn, _, err := websocket.Dial(ctx, liveURL, &websocket.DialOptions{HTTPClient: client})
		if err != nil {
			yield("", fmt.Errorf("follow the log: %w", err))
			return
		}
		defer conn.CloseNow()
		conn.SetReadLimit(8 * maxLine) // JSON may take six characters for one
		for {
			_, body, err := conn.Read(ctx)
			if err != nil {
				if websocket.CloseStatus(err) != websocket.StatusNormalClosure && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
					yield("", fmt.Errorf("follow the log: %w", err))
				}
				return
			}
			var m liveMessage
			if err := json.Unmarshal(body, &m); err != nil {
				yield("", fmt.Errorf("follow the log: %w", err))
				return
			}
			if !yield(strings.TrimSuffix(m.Data, "\n"), nil) {
				return
			}
		}
	}
}
