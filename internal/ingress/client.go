package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Client speaks to an ingress over its control socket. It is safe for concurrent use, and nothing has to be closed.
type Client struct{ http http.Client }

// NewClient returns a client of the ingress at the socket, which need not answer yet.
func NewClient(socket string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "unix", socket)
	}
	// No connection is kept: the ingress may be another process the next time.
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Set puts an app's routes in place. When it returns nil they are saved, and every request that comes from now on goes
// by them. Setting the same again is free. Errors: [ErrStale], [ErrHostTaken], or one for people.
func (c *Client) Set(ctx context.Context, a AppRoutes) error {
	return c.call(ctx, "PUT", "/apps/"+url.PathEscape(a.App), a, nil)
}

// Remove forgets an app at a generation, and refuses routes of it or an older one from then on. [ErrStale] means that
// newer routes are in place.
func (c *Client) Remove(ctx context.Context, app string, generation uint64) error {
	return c.call(ctx, "DELETE", fmt.Sprintf("/apps/%s?generation=%d", url.PathEscape(app), generation), nil, nil)
}

// Drain waits until no request is in flight to the backends, at most for the timeout, and returns how many are left.
// Take the backends out of the routes first. After 0 none of them gets a request again.
func (c *Client) Drain(ctx context.Context, backends []string, timeout time.Duration) (left int64, err error) {
	var d Drained
	err = c.call(ctx, "POST", "/drain", drainRequest{backends, timeout.Milliseconds()}, &d)
	return d.Left, err
}

// Health says who answers.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.call(ctx, "GET", "/health", nil, &h)
	return h, err
}

// Table returns every app's routes, by app id.
func (c *Client) Table(ctx context.Context) (apps []AppRoutes, err error) {
	err = c.call(ctx, "GET", "/table", nil, &apps)
	return apps, err
}

// Quit asks the ingress to finish what is under way, at most 10 s, and end.
func (c *Client) Quit(ctx context.Context) error { return c.call(ctx, "POST", "/quit", nil, nil) }

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://ingress"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the ingress: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		var f failure
		_ = json.NewDecoder(res.Body).Decode(&f)
		for _, known := range []error{ErrStale, ErrHostTaken} {
			if detail, ok := strings.CutPrefix(f.Error, known.Error()); ok && res.StatusCode == http.StatusConflict {
				return fmt.Errorf("ask the ingress: %w%s", known, detail)
			}
		}
		return fmt.Errorf("ask the ingress: %s %s: %w", method, res.Status, errors.New(f.Error))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(res.Body).Decode(out); err != nil {
		return fmt.Errorf("ask the ingress: read the answer: %w", err)
	}
	return nil
}
