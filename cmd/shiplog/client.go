package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"shiplog/events"
)

const defaultURL = "http://127.0.0.1:8080"

// patience is how long a client keeps trying a service that went away in the middle: longer than a restart takes.
const patience = 30 * time.Second

// apiError is an answer other than 2xx.
type apiError struct {
	status  int
	id      string
	message string
}

func (e *apiError) Error() string { return e.message }

// unreachableError means that no service answered at all.
type unreachableError struct {
	url   string
	cause error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("cannot reach %s: is `shiplog serve` running? (SHIPLOG_URL says where it is; %v)", e.url, e.cause)
}

func (e *unreachableError) Unwrap() error { return e.cause }

// base is the address of the service, without a slash at its end.
func (c *cli) base() string {
	for _, u := range []string{c.url, c.getenv("SHIPLOG_URL"), defaultURL} {
		if u != "" {
			return strings.TrimRight(u, "/")
		}
	}
	return defaultURL
}

// token is the caller's. The file is read only beside a service.
func (c *cli) token() string {
	if t := c.getenv("SHIPLOG_TOKEN"); t != "" {
		return t
	}
	b, err := os.ReadFile(c.tokenFile())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (c *cli) tokenFile() string {
	dir := c.getenv("SHIPLOG_DATA")
	if dir == "" {
		dir = "data"
	}
	return filepath.Join(dir, "admin.token")
}

// call sends a request and decodes the answer into out, if that is not nil. A command is sent again, under one
// idempotency key, while the service is unavailable or restarts.
func (c *cli) call(ctx context.Context, method, path string, body, out any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return err
		}
	}
	key := ""
	if method != http.MethodGet {
		key = string(events.NewID())
	}
	deadline := c.now().Add(patience)
	for try := 0; ; try++ {
		answer, err := c.send(ctx, method, path, payload, key)
		if err == nil {
			if out == nil || len(answer) == 0 {
				return nil
			}
			if err := json.Unmarshal(answer, out); err != nil {
				return fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
			}
			return nil
		}
		// At the first try nobody listening means that there is no service; later, or when a connection broke, that it
		// restarts.
		if !worthAgain(err, try > 0) || c.now().After(deadline) {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func worthAgain(err error, begun bool) bool {
	var lost *unreachableError
	var refused *apiError
	switch {
	case errors.As(err, &lost):
		return begun || errors.Is(lost.cause, io.EOF) || errors.Is(lost.cause, io.ErrUnexpectedEOF) ||
			errors.Is(lost.cause, syscall.ECONNRESET) || errors.Is(lost.cause, syscall.EPIPE)
	case errors.As(err, &refused):
		return refused.status == http.StatusServiceUnavailable || refused.status == http.StatusTooManyRequests
	}
	return false
}

func (c *cli) send(ctx context.Context, method, path string, payload []byte, key string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base()+path, bytes.NewReader(payload))
	if err != nil {
		return nil, usage("%s is not an address: %v", c.base(), err)
	}
	if t := c.token(); t != "" {
		req.Header.Set("Authorization", "Bearer "+t)
	}
	req.Header.Set("Accept", "application/json")
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, &unreachableError{c.base(), err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &unreachableError{c.base(), err}
	}
	if resp.StatusCode/100 != 2 {
		return nil, c.refusal(resp.StatusCode, answer)
	}
	return answer, nil
}

func (c *cli) refusal(status int, answer []byte) error {
	var e struct{ ID, Message string }
	if json.Unmarshal(answer, &e) != nil || e.Message == "" {
		return &apiError{status, "", fmt.Sprintf("%s answers %d, but not like a Shiplog service: check SHIPLOG_URL", c.base(), status)}
	}
	if status == http.StatusUnauthorized {
		if c.token() == "" {
			e.Message = fmt.Sprintf("%s needs a token: set SHIPLOG_TOKEN, or SHIPLOG_DATA to the service's data directory (%s cannot be read)", c.base(), c.tokenFile())
		} else {
			e.Message = fmt.Sprintf("%s does not accept this token: check SHIPLOG_TOKEN (the service's own is in admin.token of its data directory)", c.base())
		}
	}
	return &apiError{status, e.ID, e.Message}
}

// appPath is the path of an app, by its name or id, and of what is below it.
func appPath(app string, below ...string) string {
	path := "/v2/apps/" + url.PathEscape(app)
	for _, b := range below {
		path += "/" + url.PathEscape(b)
	}
	return path
}

// all reads every page of a list, up to limit members; limit 0 is all of them.
func all[T any](ctx context.Context, c *cli, path, key string, limit int) ([]T, error) {
	list := []T{}
	per := 200
	if limit > 0 {
		per = min(per, limit)
	}
	for page := 1; ; page++ {
		var answer map[string]json.RawMessage
		if err := c.call(ctx, http.MethodGet, fmt.Sprintf("%s?page=%d&per_page=%d", path, page, per), nil, &answer); err != nil {
			return nil, err
		}
		var members []T
		var meta struct{ Total int }
		if err := errors.Join(json.Unmarshal(answer[key], &members), json.Unmarshal(answer["meta"], &meta)); err != nil {
			return nil, fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
		}
		list = append(list, members...)
		if limit > 0 && len(list) >= limit {
			return list[:limit], nil
		}
		if len(members) == 0 || len(list) >= meta.Total {
			return list, nil
		}
	}
}

// both is call for an answer that is wanted twice: as what this program understands of it, and as it was sent.
func (c *cli) both(cmd *cobra.Command, method, path string, body, understood, raw any) error {
	var answer json.RawMessage
	if err := c.call(cmd.Context(), method, path, body, &answer); err != nil {
		return err
	}
	if err := errors.Join(json.Unmarshal(answer, understood), json.Unmarshal(answer, raw)); err != nil {
		return fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
	}
	return nil
}

// bothLists is all, with the members also as they were sent.
func bothLists[T any](ctx context.Context, c *cli, path, key string, limit int) (understood []T, raw []json.RawMessage, err error) {
	if raw, err = all[json.RawMessage](ctx, c, path, key, limit); err != nil {
		return nil, nil, err
	}
	for _, r := range raw {
		var m T
		if err := json.Unmarshal(r, &m); err != nil {
			return nil, nil, fmt.Errorf("%s does not answer like a Shiplog service: %w", c.base(), err)
		}
		understood = append(understood, m)
	}
	return understood, raw, nil
}
