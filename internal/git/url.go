package git

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// scpLike is git's short form for ssh: "git@host:owner/name.git".
var scpLike = regexp.MustCompile(`^([A-Za-z0-9._~-]+@)?([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):([^:].*)$`)

// parseURL reads a clone URL: http, https, ssh or git, with a host and a path. Everything else, file paths first of all,
// is an ErrRefused.
func parseURL(raw string) (*url.URL, error) {
	refuse := func(why string) (*url.URL, error) {
		return nil, fmt.Errorf("%w: %s: %s; write it as https://HOST/OWNER/NAME.git", ErrRefused, Redact(raw), why)
	}
	switch {
	case raw == "":
		return refuse("the clone URL is empty")
	case strings.HasPrefix(raw, "-"):
		return refuse("a clone URL cannot begin with a dash")
	case strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return refuse("a clone URL cannot hold blanks or control characters")
	}
	if !strings.Contains(raw, "://") {
		m := scpLike.FindStringSubmatch(raw)
		if m == nil {
			return refuse("it is neither a URL nor user@host:path")
		}
		raw = "ssh://" + m[1] + m[2] + "/" + strings.TrimPrefix(m[3], "/")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return refuse("it cannot be read")
	}
	u.Scheme = strings.ToLower(u.Scheme)
	switch u.Scheme {
	case "http", "https", "ssh", "git":
	default:
		return refuse(fmt.Sprintf("the scheme %q is not allowed", u.Scheme))
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || strings.Trim(u.Path, "/") == "" {
		return refuse("it has no host or no path")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// Redact returns a clone URL without its credentials and query, for messages and for showing.
func Redact(raw string) string {
	if len(raw) > 500 {
		raw = raw[:500] + "…"
	}
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	} else {
		scheme += "://"
	}
	rest, _, _ = strings.Cut(rest, "?")
	authority, tail, slash := strings.Cut(rest, "/")
	if i := strings.LastIndex(authority, "@"); i >= 0 && (ok || strings.Contains(authority[:i], ":")) {
		authority = authority[i+1:]
	}
	if slash {
		tail = "/" + tail
	}
	return scheme + authority + tail
}

// name is the source for messages.
func (s Source) name() string {
	if s.Local != "" {
		return "the built-in repository " + path.Base(s.Local)
	}
	return Redact(s.URL)
}

// credentials returns what to send to the server of a URL: the source's own, else those in the URL.
func (s Source) credentials(u *url.URL) (user, password string) {
	if s.Token != "" {
		user, password = s.User, s.Token
	} else if u.User != nil {
		user = u.User.Username()
		password, _ = u.User.Password()
		if password == "" { // https://TOKEN@host
			user, password = "", user
		}
	}
	if password != "" && user == "" {
		user = "git"
	}
	return user, password
}

// resolveURL returns the URL of a submodule, which may be relative to that of the repository it is in.
func resolveURL(parent, raw string) (string, error) {
	if !strings.HasPrefix(raw, "./") && !strings.HasPrefix(raw, "../") {
		return raw, nil
	}
	if parent == "" {
		return "", fmt.Errorf("%w: the relative URL %s leads nowhere from the built-in remote; write the whole URL in .gitmodules", ErrRefused, Redact(raw))
	}
	u, err := parseURL(parent)
	if err != nil {
		return "", err
	}
	u.RawPath, u.RawQuery = "", ""
	dir := strings.TrimSuffix(u.Path, "/")
	for {
		if rest, ok := strings.CutPrefix(raw, "./"); ok {
			raw = rest
			continue
		}
		rest, ok := strings.CutPrefix(raw, "../")
		if !ok {
			break
		}
		if raw = rest; dir == "" {
			return "", fmt.Errorf("%w: a submodule's relative URL leads out of %s", ErrRefused, Redact(parent))
		}
		dir = dir[:strings.LastIndex(dir, "/")]
	}
	u.Path = dir + "/" + raw
	return u.String(), nil
}

// sameServer reports whether credentials for one URL may be sent to the other.
func sameServer(a, b string) bool {
	x, err := parseURL(a)
	if err != nil {
		return false
	}
	y, err := parseURL(b)
	return err == nil && x.Scheme == y.Scheme && strings.EqualFold(x.Host, y.Host)
}
