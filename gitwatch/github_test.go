package gitwatch

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"shiplog/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

// facts is what a golden file holds of a delivery.
type facts struct {
	Push  *events.PushReceived `json:"push,omitempty"`
	Host  string               `json:"host,omitempty"`
	Path  string               `json:"path,omitempty"`
	Error string               `json:"error,omitempty"`
}

func contentType(file string) string {
	if strings.HasSuffix(file, ".form") {
		return "application/x-www-form-urlencoded"
	}
	return "application/json"
}

// TestGitHubGolden reads payloads in the shape that GitHub documents, and compares the facts with those beside them.
func TestGitHubGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/github/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		if strings.HasSuffix(file, ".golden") {
			continue
		}
		n++
		t.Run(filepath.Base(file), func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var got facts
			if p, repo, err := parseGitHub(contentType(file), body); err != nil {
				got.Error = err.Error()
			} else {
				got = facts{Push: &p, Host: repo.host, Path: repo.path}
			}
			var text bytes.Buffer
			enc := json.NewEncoder(&text)
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			if err := enc.Encode(got); err != nil {
				t.Fatal(err)
			}
			golden := file + ".golden"
			if *update {
				if err := os.WriteFile(golden, text.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text.String() != string(want) {
				t.Errorf("got\n%s\nwant\n%s", text.String(), want)
			}
		})
	}
	if n < 30 {
		t.Errorf("only %d payloads were found", n)
	}
}

// TestEveryNodeOfAPayload deletes, nulls and retypes each node of a payload: the parser may refuse, and must not panic.
func TestEveryNodeOfAPayload(t *testing.T) {
	body, err := os.ReadFile("testdata/github/branch.json")
	if err != nil {
		t.Fatal(err)
	}
	var payload any
	if err := json.Unmarshal(body, &payload); err != nil {
		t.Fatal(err)
	}
	tried := 0
	try := func() {
		tried++
		changed, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		check(t, "application/json", changed)
	}
	var walk func(node any)
	walk = func(node any) {
		odd := []any{nil, "", "x", 1e300, -1, true, []any{}, []any{nil}, map[string]any{}, map[string]any{"x": nil}}
		switch n := node.(type) {
		case map[string]any:
			for k, old := range n {
				delete(n, k)
				try()
				for _, v := range odd {
					n[k] = v
					try()
				}
				n[k] = old
				walk(old)
			}
		case []any:
			for i, old := range n {
				for _, v := range odd {
					n[i] = v
					try()
				}
				n[i] = old
				walk(old)
			}
		}
	}
	walk(payload)
	if tried < 500 {
		t.Errorf("only %d changes were tried", tried)
	}
}

func FuzzGitHub(f *testing.F) {
	files, _ := filepath.Glob("testdata/github/*.json")
	forms, _ := filepath.Glob("testdata/github/*.form")
	for _, file := range append(files, forms...) {
		if body, err := os.ReadFile(file); err == nil {
			f.Add(contentType(file), body)
		}
	}
	f.Fuzz(func(t *testing.T, contentType string, body []byte) { check(t, contentType, body) })
}

// check holds what is true of all facts: they fit in an event and are what they say they are.
func check(t *testing.T, contentType string, body []byte) {
	t.Helper()
	p, repo, err := parseGitHub(contentType, body)
	if err != nil {
		return
	}
	if _, err := events.ParseRefName(string(p.Ref)); err != nil {
		t.Errorf("ref: %v", err)
	}
	for _, c := range []events.Commit{p.Before, p.After} {
		if _, err := events.ParseCommit(string(c)); c != "" && err != nil {
			t.Errorf("commit: %v", err)
		}
	}
	if repo.host == "" || strings.Count(repo.path, "/") != 1 {
		t.Errorf("repository %+v", repo)
	}
	if len(p.Message) > maxMessage || len(p.Author) > maxName || len(p.Pusher) > maxName || len(p.Paths) > maxPaths || !utf8.ValidString(p.Message) {
		t.Errorf("too much: %+v", p)
	}
	p.Delivery, p.Repository = strings.Repeat("d", 128), strings.Repeat("r", 1000)
	if _, err := events.Encode(p); err != nil {
		t.Errorf("it does not fit in an event: %v", err)
	}
}
