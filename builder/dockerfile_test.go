package builder

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestReadDockerfile(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	secret := filepath.Join(dir, "secret")
	for name, text := range map[string]string{"tree/Dockerfile": "FROM root\n", "tree/sub/Dockerfile": "FROM sub\n", "tree/sub/.dockerignore": "ignored\n",
		"tree/sub/D.dockerignore": "own\n", "tree/sub/D": "FROM d\n", "secret": "FROM secret\n", "tree/empty": " \n", "tree/x.in": "FROM x\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"abs": secret, "rel": "../secret", "good": "sub/Dockerfile", "out": "..", "loop": "loop", "null": "/dev/null",
		"ig/.dockerignore": "../../secret"} {
		path := filepath.Join(tree, link)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "ig/Dockerfile"), []byte("FROM ig\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(tree, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mknod(filepath.Join(tree, "device"), syscall.S_IFCHR|0o644, 1<<8|5); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, text, ignore, wrong string }{
		{name: "", dir: "", text: "FROM root\n"},
		{name: "", dir: "sub", text: "FROM sub\n", ignore: "ignored\n"},
		{name: "sub/D", dir: "sub", text: "FROM d\n", ignore: "own\n"},
		{name: "good", text: "FROM sub\n"},
		{name: "none", wrong: "no Dockerfile at \"none\": add one or set dockerfile_path"},
		{name: "", dir: "none", wrong: "no directory"},
		{name: "", dir: "Dockerfile", wrong: "no directory"},
		{name: "", dir: "out", wrong: "no directory"},
		{name: "", dir: "..", wrong: "not a path inside"},
		{name: "../secret", wrong: "not a path inside"},
		{name: "/etc/passwd", wrong: "not a path inside"},
		{name: "abs", wrong: "cannot be used"},
		{name: "rel", wrong: "cannot be used"},
		{name: "out/secret", wrong: "cannot be used"},
		{name: "loop", wrong: "cannot be used"},
		{name: "null", wrong: "cannot be used"},
		{name: "fifo", wrong: "not a regular file"},
		{name: "device", wrong: "not a regular file"},
		{name: "sub", wrong: "not a regular file"},
		{name: "empty", wrong: "is empty"},
		{name: "x.in", wrong: "preprocessor"},
		{name: "-", wrong: "give a path"},
		{name: "http://host/Dockerfile", wrong: "is a URL"},
		{name: "https://host/Dockerfile", wrong: "is a URL"},
		{name: "", dir: "ig", wrong: "ignore file"},
	} {
		got, err := readDockerfile(tree, c.name, c.dir)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%q in %q: %v; want %q", c.name, c.dir, err, c.wrong)
			}
			continue
		}
		if err != nil || string(got.text) != c.text || string(got.ignore) != c.ignore {
			t.Errorf("%q in %q: %q, %q, %v", c.name, c.dir, got.text, got.ignore, err)
		}
	}
}

func TestBaseNames(t *testing.T) {
	file := dockerfile{text: []byte("ARG V=1\nFROM one:${V} AS a\nFROM a\nFROM scratch\nCOPY --from=two / /\nCOPY --from=a / /\nCOPY --from=0 / /\n" +
		"RUN --mount=type=bind,from=three,source=/x,target=/y true\nRUN --mount=from=four,target=/z true\n")}
	got, err := baseNames(file, wireJob{Args: map[string]string{"V": "2"}})
	if err != nil || strings.Join(got, " ") != "one:2 two three four" {
		t.Errorf("base images: %q, %v", got, err)
	}
}

func FuzzDockerfile(f *testing.F) {
	for _, s := range []string{"FROM a\n", "ARG X=1\nFROM b:$X AS c\nRUN --mount=type=ssh,from=d x\nCOPY --from=c <<EOF /\nEOF\n", "FROM", "\\\n", "ONBUILD FROM"} {
		f.Add(s, "RUN x")
	}
	f.Fuzz(func(t *testing.T, text, step string) {
		file := dockerfile{name: "Dockerfile", text: []byte(text)}
		_, _ = baseNames(file, wireJob{})
		_ = refusedMount(file)
		if n := lineOf(file, step); n < 0 || n > strings.Count(text, "\n")+1 {
			t.Errorf("line %d", n)
		}
	})
}

func FuzzDockerfileName(f *testing.F) {
	for _, s := range []string{"Dockerfile", "../x", "/x", "a/../../x", "http://x", "x.in", "-", "a\x00b", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkDockerfileName(name) == nil && name != "" && !filepath.IsLocal(name) {
			t.Errorf("%q is accepted", name)
		}
	})
}
