package rollout

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"shiplog/internal/deploy"
	"shiplog/internal/engine"
	"shiplog/internal/ingress"
)

// realIngress runs the ingress itself.
func realIngress(t *testing.T) *ingress.Client {
	dir, err := os.MkdirTemp("", "roll") // a test's own directory can be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	socket := filepath.Join(dir, "s")
	go func() {
		ended <- ingress.Run(ctx, ingress.Options{Listen: "127.0.0.1:0", Socket: socket, State: filepath.Join(dir, "ingress.json"), Version: "v1"})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	c := ingress.NewClient(socket)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := c.Health(ctx); err == nil {
			return c
		} else if time.Now().After(deadline) || len(ended) > 0 {
			t.Fatalf("the ingress does not answer: %v", err)
		}
	}
}

// The real ingress agrees with the one of these tests: the switch, the drain, and the refusal of a log that went back.
func TestWithTheRealIngress(t *testing.T) {
	s := app(service("web", at("/"), terms(1, 1)), service("api", at("/api")))
	w := open(t, s)
	client := realIngress(t)
	w.real = client
	w.settle()
	w.want("v1", table(t, client), "serving: /=[10.0.0.1:8080] /api=[10.0.0.2:8080]")
	w.engine.change("api-g1-1", func(i *engine.Instance) { i.State, i.Address = "exited", "" })
	w.engine.sick[digest("api", "v1")] = &engine.Unhealthy{Step: "healthy", Reason: "no"}
	if _, err := w.once(t.Context()); err == nil {
		t.Error("api is away, and the hold does not say so")
	}
	w.want("without api", table(t, client), "serving: /=[10.0.0.1:8080] /api=[]")
	h, err := client.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+h.Listen+"/api/x", nil)
	req.Host = "hello.localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusBadGateway {
		t.Errorf("/api answers %s, want 502: nothing of it runs", res.Status)
	}
	w.deploy("v2")
	w.settle()
	w.want("running", w.engine.running(), "api-g2-1 web-g2-1")

	late := w.state() // what a backup from before does not have
	late.Head.Position.Sequence += 50
	if err := w.agent().Hold(t.Context(), late, deploy.Action{}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.once(t.Context()); !errors.Is(err, ingress.ErrStale) || !strings.Contains(err.Error(), "restored from a backup") {
		t.Errorf("got %v", err)
	}
	w.want("running", w.engine.running(), "api-g2-1 web-g2-1")
}

func table(t *testing.T, c *ingress.Client) string {
	t.Helper()
	apps, err := c.Table(t.Context())
	if err != nil || len(apps) != 1 {
		t.Fatalf("table: %v %v", apps, err)
	}
	out := string(apps[0].State) + ":"
	for _, r := range apps[0].Routes {
		out += fmt.Sprintf(" %s=%v", r.Path, r.Backends)
	}
	return out
}
