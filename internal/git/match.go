package git

import (
	"net/url"
	"strings"
)

// Match reports whether a clone URL is one of the built-in remote's: BASE/git/NAME.git under one of the bases (the public
// URL, the address listened on). It returns the app's name. User and password in the URL do not matter, nor do the case of
// the host, a standard port, or a missing ".git"; http and https are told apart.
func Match(clone string, bases []string) (name string, ok bool) {
	u, err := url.Parse(clone)
	if err != nil || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", false
	}
	for _, base := range bases {
		b, err := url.Parse(base)
		if err != nil || b.Host == "" || origin(b) != origin(u) {
			continue
		}
		rest, under := strings.CutPrefix(u.Path, strings.TrimSuffix(b.Path, "/")+"/git/")
		rest = strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".git")
		if under && appName.MatchString(rest) {
			return rest, true
		}
	}
	return "", false
}

// origin is a URL's scheme, host and port, as they are compared.
func origin(u *url.URL) string {
	port := u.Port()
	switch scheme := strings.ToLower(u.Scheme); {
	case port != "":
	case scheme == "http":
		port = "80"
	case scheme == "https":
		port = "443"
	}
	return strings.ToLower(u.Scheme) + "://" + strings.ToLower(u.Hostname()) + ":" + port
}
