package engine

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/engine/enginetest"
)

// Two engines on one machine, with the same app in both. They leave nothing.
func TestSideBySide(t *testing.T) {
	s, err := setup()
	if err != nil {
		t.Fatal(err)
	}
	if left := traces(t, "/dev/shm/podman-"); left != nil {
		t.Fatalf("traces before: %q", left)
	}
	t.Run("both", func(t *testing.T) {
		app := events.NewID()
		var up []Instance
		for n := range 2 {
			d, err := Open(t.Context(), Options{Host: enginetest.Podman(t), Instance: "side"})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.Pull(t.Context(), s.image, io.Discard); err != nil {
				t.Fatal(err)
			}
			r := Rollout{
				App: app, AppName: "shop", Component: "web", Generation: 1, Image: s.image, Port: 8080, Count: 1,
				Env: map[string]string{"VERSION": []string{"left", "right"}[n]},
			}
			i, err := d.Roll(t.Context(), r, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			up = append(up, i...)
		}
		if l, r := get(t, up[0], "/"), get(t, up[1], "/"); l != "left" || r != "right" {
			t.Errorf("%q and %q answer at %s and %s", l, r, up[0].Address, up[1].Address)
		}
		if len(traces(t, "/dev/shm/podman-")) == 0 {
			t.Error("traces are not seen while they are there")
		}
	})
	if left := traces(t, "/dev/shm/podman-"); left != nil {
		t.Errorf("left: %q", left)
	}
}

// traces returns the mounts, processes and files of Podmans in directories that begin with prefix.
func traces(t *testing.T, prefix string) []string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, prefix) {
			found = append(found, line)
		}
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range commands {
		if b, _ := os.ReadFile(file); strings.Contains(string(b), prefix) {
			found = append(found, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	files, _ := filepath.Glob(prefix + "*")
	return append(found, files...)
}
