package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/moby/moby/client"
)

// libpod is Podman's own API, on the same socket. It is used for what the Docker API of Podman cannot say: to pull by
// plain http without configuring the host, and to keep networks apart.
type libpod struct {
	http  *http.Client
	mixed bool // its network backend does not keep networks apart
}

func newLibpod(api *client.Client) *libpod {
	dial := api.Dialer()
	return &libpod{http: &http.Client{Transport: &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxIdleConnsPerHost: 4,
	}}}
}

// podmanInfo is the part of GET /info that we need.
type podmanInfo struct {
	Host struct {
		NetworkBackend string   `json:"networkBackend"`
		LogDriver      string   `json:"logDriver"`
		CgroupVersion  string   `json:"cgroupVersion"`
		Controllers    []string `json:"cgroupControllers"`
		Runtime        struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"ociRuntime"`
		Security struct {
			Rootless bool `json:"rootless"`
			Seccomp  bool `json:"seccompEnabled"`
		} `json:"security"`
	} `json:"host"`
	Version struct {
		Version string `json:"Version"`
	} `json:"version"`
}

func (p *libpod) info(ctx context.Context) (podmanInfo, error) {
	var i podmanInfo
	resp, err := p.do(ctx, http.MethodGet, "info", nil, nil, nil)
	if err != nil {
		return i, err
	}
	defer resp.Body.Close()
	return i, json.NewDecoder(resp.Body).Decode(&i)
}

// createNetwork makes a bridge whose containers know each other by name and cannot reach those of other such bridges.
func (p *libpod) createNetwork(ctx context.Context, name string, labels map[string]string) error {
	options := map[string]string{"isolate": "true"}
	if p.mixed {
		options = nil
	}
	body, err := json.Marshal(map[string]any{
		"name": name, "driver": "bridge", "dns_enabled": true, "labels": labels, "options": options,
	})
	if err != nil {
		return err
	}
	resp, err := p.do(ctx, http.MethodPost, "networks/create", nil, http.Header{"Content-Type": {"application/json"}}, bytes.NewReader(body))
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// pull fetches an image by digest.
func (p *libpod) pull(ctx context.Context, image Image, progress io.Writer) error {
	query := url.Values{"reference": {image.Ref()}, "policy": {"always"}}
	if image.Plain {
		query.Set("tlsVerify", "false")
	}
	header := http.Header{}
	if image.User != "" {
		auth, err := json.Marshal(map[string]string{"username": image.User, "password": image.Password})
		if err != nil {
			return err
		}
		header.Set("X-Registry-Auth", base64.URLEncoding.EncodeToString(auth))
	}
	resp, err := p.do(ctx, http.MethodPost, "images/pull", query, header, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	for dec := json.NewDecoder(resp.Body); ; {
		var line struct {
			Stream string `json:"stream"`
			Error  string `json:"error"`
		}
		if err := dec.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(line.Error)
		}
		_, _ = io.WriteString(progress, line.Stream)
	}
}

// podmanError is an answer of 400 and above.
type podmanError struct {
	status int
	text   string
}

func (e *podmanError) Error() string { return fmt.Sprintf("%s (%d)", e.text, e.status) }

func (p *libpod) do(ctx context.Context, method, path string, query url.Values, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://d/v4.0.0/libpod/"+path+"?"+query.Encode(), body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[http.CanonicalHeaderKey(k)] = v
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	}
	if resp.StatusCode < 400 {
		return resp, nil
	}
	defer resp.Body.Close()
	var said struct {
		Message string `json:"message"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&said); err != nil || said.Message == "" {
		said.Message = resp.Status
	}
	return nil, &podmanError{resp.StatusCode, said.Message}
}
