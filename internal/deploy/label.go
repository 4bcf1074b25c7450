package deploy

import "strings"

// sourceLabel names a repository as App Platform's causes do: "github/owner/name", or for the built-in remote "git/name".
func sourceLabel(provider, url string) string {
	_, path, ok := strings.Cut(url, "://")
	if !ok {
		_, path, _ = strings.Cut(url, ":")
		path = "/" + path
	}
	if i := strings.IndexByte(path, '/'); i >= 0 {
		path = path[i+1:]
	}
	path = strings.TrimSuffix(path, ".git")
	if provider == "git" {
		path = strings.TrimPrefix(path, "git/")
	}
	return provider + "/" + path
}
