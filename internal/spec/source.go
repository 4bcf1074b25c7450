package spec

import (
	"net/url"
	"path"
	"regexp"
	"strings"

	"shiplog/events"
)

var (
	forgePattern  = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*(/[A-Za-z0-9_.][A-Za-z0-9_.-]*)+$`)
	scpPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*@([A-Za-z0-9][A-Za-z0-9.-]*):([^-\s][^\s]*)$`)
	hostPattern   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)
	targetPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
)

func (c *checker) source(k *events.Component, path string) {
	given := 0
	if k.Git != nil {
		given++
		if why := cloneURL(k.Git.RepoCloneURL); why != "" {
			c.fault(path+".git.repo_clone_url", "%s", why)
		}
		c.branch(path+".git.branch", k.Git.Branch)
	}
	for _, f := range []struct {
		name   string
		source *events.ForgeSource
	}{{"github", k.GitHub}, {"gitlab", k.GitLab}, {"bitbucket", k.Bitbucket}} {
		if f.source == nil {
			continue
		}
		given++
		f.source.Repo = strings.TrimSuffix(f.source.Repo, ".git")
		deep := f.name == "gitlab" // GitLab has groups in groups
		if repo := f.source.Repo; !forgePattern.MatchString(repo) || !deep && strings.Count(repo, "/") != 1 || hasDots(repo) {
			c.fault(path+"."+f.name+".repo", `must be "owner/name", not %q`, clip(repo))
		}
		c.branch(path+"."+f.name+".branch", f.source.Branch)
	}
	if k.Image != nil {
		given++
		c.image(k.Image, path+".image")
	}
	switch given {
	case 0:
		c.fault(path, "has no source: give one of git, github, gitlab, bitbucket and image")
	case 1:
	default:
		c.fault(path, "has %d sources: give one of git, github, gitlab, bitbucket and image", given)
	}
}

// branch accepts a branch, a tag or a full commit: the one field of App Platform's git source holds any of them.
func (c *checker) branch(path, name string) {
	if name == "" {
		c.fault(path, "is missing: give a branch, a tag or a full commit")
		return
	}
	if _, err := events.ParseCommit(name); err == nil {
		return
	}
	if _, err := events.ParseRefName("refs/heads/" + name); err != nil {
		c.fault(path, "%q is not a branch, a tag or a full commit", clip(name))
	}
}

// cloneURL says why a clone URL is refused, or "". Only the schemes that reach another server are taken: file://, paths
// and git's ext:: would read or run things on ours.
func cloneURL(s string) string {
	const want = "must be an https://, http:// or ssh:// URL, or user@host:path"
	if s == "" {
		return "is missing"
	}
	if len(s) > 2000 || strings.ContainsAny(s, " \\\x7f") || hasControl(s) {
		return want
	}
	if m := scpPattern.FindStringSubmatch(s); m != nil && !strings.Contains(s, "://") && !strings.Contains(s, "::") && !hasDots(m[2]) {
		return ""
	}
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || !hostPattern.MatchString(u.Host) {
		return want
	}
	switch u.Scheme {
	case "https", "http":
		if u.User != nil {
			return "must not hold a user or password, which would be kept in the history for ever: store them as a credential for the host"
		}
	case "ssh":
		if _, has := u.User.Password(); has || strings.HasPrefix(u.User.Username(), "-") {
			return "must not hold a password: store a key as a credential for the host"
		}
	default:
		return want
	}
	if u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s, "?#") {
		return "must not hold a query or a fragment: the branch has a field of its own"
	}
	if strings.Trim(u.Path, "/") == "" || hasDots(u.Path) {
		return "must name a repository after the host"
	}
	return ""
}

func (c *checker) build(k *events.Component, at string) {
	k.SourceDir = c.inside(at+".source_dir", k.SourceDir)
	k.DockerfilePath = c.inside(at+".dockerfile_path", k.DockerfilePath)
	if strings.HasSuffix(k.DockerfilePath, ".in") {
		c.fault(at+".dockerfile_path", "must not end in .in: such files go through the C preprocessor, which is not done here")
	}
	if k.BuildTarget != "" && !targetPattern.MatchString(k.BuildTarget) {
		c.fault(at+".build_target", "%q is not the name of a stage", clip(k.BuildTarget))
	}
	if k.Image == nil {
		return
	}
	for _, f := range []struct{ name, value string }{
		{"source_dir", k.SourceDir}, {"dockerfile_path", k.DockerfilePath}, {"build_target", k.BuildTarget},
	} {
		if f.value != "" {
			c.fault(at+"."+f.name, "an image is not built: leave this out")
		}
	}
}

// inside cleans a path in a repository. A leading "/" is the repository's root, as on App Platform.
func (c *checker) inside(at, p string) string {
	if p == "" {
		return ""
	}
	if len(p) > 1024 || strings.ContainsAny(p, "\\:") || hasControl(p) || hasDots(p) || p[0] == '-' {
		c.fault(at, "must be a path inside the repository, not %q", clip(p))
		return p
	}
	clean := strings.TrimPrefix(path.Clean("/"+p), "/")
	if strings.HasPrefix(clean, "-") {
		c.fault(at, "must not begin with a hyphen")
	}
	return clean
}

// hasDots reports whether an element of a path is "..", which leads out, or ".git", which is not content.
func hasDots(p string) bool {
	for _, e := range strings.Split(p, "/") {
		if e == ".." || strings.EqualFold(e, ".git") {
			return true
		}
	}
	return false
}
