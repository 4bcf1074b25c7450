package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// homes names the one place of each outside library: the folders whose product code may import it.
var homes = map[string][]string{
	"github.com/nats-io/":                    {"internal/natslog"},
	"go.etcd.io/bbolt":                       {"projections"},
	"go.podman.io/":                          {"builder"},
	"github.com/coder/websocket":             {"internal/api"},
	"github.com/google/go-containerregistry": {"builder"},
	"github.com/vishvananda/":                {"builder"},
	"github.com/go-git/":                     {"internal/git"},
	"github.com/moby/moby/":                  {"internal/engine"},
	"github.com/distribution/":               {"internal/registry"},
	"github.com/goccy/go-yaml":               {"internal/spec"},
	"filippo.io/age":                         {"internal/secrets"},
	"github.com/spf13/cobra":                 {"cmd/shiplog"},
	"github.com/drone/go-scm":                {"gitwatch"},
}

// tests are outside libraries that only tests may use.
var tests = []string{"github.com/digitalocean/godo", "github.com/chromedp", "github.com/rogpeppe/go-internal"}

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// TestLayout enforces the direction of imports: cmd knows everything; gitwatch, builder and projections know events and
// the mind, never each other; the mind knows events; events knows the standard library.
func TestLayout(t *testing.T) {
	for _, p := range list(t) {
		from := strings.TrimPrefix(p.ImportPath, "shiplog/")
		for _, to := range p.Imports {
			if why := forbidden(from, to); why != "" {
				t.Errorf("%s imports %s: %s", from, to, why)
			}
		}
	}
}

func forbidden(from, to string) string {
	ours, inside := strings.CutPrefix(to, "shiplog/")
	if !inside {
		if strings.Contains(from, "test") {
			return "" // a package that only tests use may make what the product reads
		}
		for lib, home := range homes {
			if strings.HasPrefix(to, lib) && !slices.ContainsFunc(home, func(h string) bool { return within(from, h) }) {
				return "its home is " + strings.Join(home, ", ")
			}
		}
		for _, lib := range tests {
			if strings.HasPrefix(to, lib) {
				return "it is for tests only"
			}
		}
		if strings.Contains(strings.Split(to, "/")[0], ".") && (within(from, "events") || within(from, "internal/deploy")) {
			return "it may import the standard library only"
		}
		return ""
	}
	rooms := []string{"gitwatch", "builder", "projections"}
	switch {
	case within(from, "events"):
		return "events imports nothing of ours"
	case within(from, "internal/deploy") && !within(ours, "events"):
		return "the mind knows events only"
	case within(ours, "cmd"):
		return "nothing imports a command"
	}
	for _, room := range rooms {
		if within(from, room) && within(ours, "internal/api") {
			return "the API is above it"
		}
		if !within(ours, room) || within(from, room) || within(from, "cmd") {
			continue
		}
		if slices.ContainsFunc(rooms, func(r string) bool { return within(from, r) }) || strings.HasPrefix(from, "internal/") && room != "projections" {
			return "senses, hands and memory know events, never each other"
		}
	}
	return ""
}

func within(path, folder string) bool { return path == folder || strings.HasPrefix(path, folder+"/") }

func list(t *testing.T) []listed {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", "shiplog/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

// TestForbidden makes sure that the rule can fail.
func TestForbidden(t *testing.T) {
	for _, c := range []struct{ from, to string }{
		{"gitwatch", "shiplog/builder"}, {"projections", "shiplog/gitwatch"}, {"builder", "shiplog/projections"},
		{"internal/deploy", "shiplog/internal/git"}, {"events", "shiplog/internal/deploy"}, {"events", "go.etcd.io/bbolt"},
		{"internal/api", "go.etcd.io/bbolt"}, {"internal/deploy", "github.com/google/uuid"}, {"internal/api", "github.com/digitalocean/godo"},
	} {
		if forbidden(c.from, c.to) == "" {
			t.Errorf("%s may import %s", c.from, c.to)
		}
	}
	if why := forbidden("cmd/shiplog", "shiplog/builder"); why != "" {
		t.Error(why)
	}
}
