package git

import (
	"testing"
)

func TestMatch(t *testing.T) {
	bases := []string{"http://127.0.0.1:8080", "https://ship.example.org/base/"}
	for url, want := range map[string]string{
		"http://127.0.0.1:8080/git/hello.git":              "hello",
		"http://x:y@127.0.0.1:8080/git/hello.git":          "hello",
		"http://127.0.0.1:8080/git/hello":                  "hello",
		"https://SHIP.example.org:443/base/git/my-app.git": "my-app",
		"http://127.0.0.1:8081/git/hello.git":              "",
		"https://127.0.0.1:8080/git/hello.git":             "",
		"https://ship.example.org/git/hello.git":           "",
		"http://127.0.0.1:8080/git/../x.git":               "",
		"http://127.0.0.1:8080/git/a/b.git":                "",
		"http://127.0.0.1:8080.evil.example/git/hello.git": "",
		"http://127.0.0.1:8080@evil.example/git/hello.git": "",
		"http://127.0.0.1:8080/git/hello.git?x=y":          "",
		"git@127.0.0.1:git/hello.git":                      "",
		"":                                                 "",
	} {
		if got, ok := Match(url, bases); got != want || ok != (want != "") {
			t.Errorf("Match(%q) = %q, %v; want %q", url, got, ok, want)
		}
	}
}
