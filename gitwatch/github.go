package gitwatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"shiplog/events"
)

// githubPush is what we read of GitHub's push event. go-scm's own type leaves out the paths and whether it was forced.
type githubPush struct {
	Ref        string         `json:"ref"`
	Before     string         `json:"before"`
	After      string         `json:"after"`
	Created    bool           `json:"created"`
	Deleted    bool           `json:"deleted"`
	Forced     bool           `json:"forced"`
	HeadCommit *githubCommit  `json:"head_commit"`
	Commits    []githubCommit `json:"commits"`
	Repository *githubRepo    `json:"repository"`
	Pusher     *githubPerson  `json:"pusher"`
	Sender     *githubPerson  `json:"sender"`
}

type githubRepo struct {
	FullName string `json:"full_name"`
	CloneURL string `json:"clone_url"`
	HTMLURL  string `json:"html_url"`
}

type githubCommit struct {
	Message  string        `json:"message"`
	Author   *githubPerson `json:"author"`
	Added    []string      `json:"added"`
	Removed  []string      `json:"removed"`
	Modified []string      `json:"modified"`
}

type githubPerson struct {
	Name  string `json:"name"`
	Email string `json:"email"`
	Login string `json:"login"`
}

// maxCommits is how many commits GitHub lists at most; a push of that many may hold more.
const maxCommits = 2048

// errIgnored is a delivery that is well formed and that we have no use for.
var errIgnored = errors.New("ignored")

// repository names a repository as a sender does. It is compared with the sources of an app, and used for nothing else.
type repository struct {
	host string // lower case, without a port: one server is reached at several
	path string // "owner/name", lower case
}

// parseGitHub reads the body of a push event: JSON, or a form whose field "payload" is JSON. It returns the facts without
// delivery and repository, and which repository was pushed to. [errIgnored] is for refs that are no branch and no tag, or
// whose name we do not take.
func parseGitHub(contentType string, body []byte) (p events.PushReceived, repo repository, err error) {
	raw, err := githubJSON(contentType, body)
	if err != nil {
		return p, repo, err
	}
	var g githubPush
	if err := json.Unmarshal(raw, &g); err != nil {
		return p, repo, fmt.Errorf("the payload is not a push event: %w", err)
	}
	if repo, err = g.repository(); err != nil {
		return p, repo, err
	}
	p = events.PushReceived{Provider: "github", Forced: g.Forced}
	if p.Before, err = objectID("before", g.Before); err != nil {
		return p, repo, err
	}
	if p.After, err = objectID("after", g.After); err != nil {
		return p, repo, err
	}
	if g.Deleted {
		p.After = ""
	}
	if !strings.HasPrefix(g.Ref, "refs/") {
		return p, repo, fmt.Errorf("the payload has no full ref name: %q", cut(g.Ref, 100))
	}
	if p.Ref, err = events.ParseRefName(g.Ref); err != nil {
		return p, repo, fmt.Errorf("%w: %w", errIgnored, err)
	}
	if !p.Ref.IsBranch() && !p.Ref.IsTag() {
		return p, repo, fmt.Errorf("%w: %s is neither a branch nor a tag", errIgnored, p.Ref)
	}
	g.describe(&p)
	fit(&p)
	return p, repo, nil
}

func githubJSON(contentType string, body []byte) ([]byte, error) {
	kind, _, _ := strings.Cut(contentType, ";")
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/json":
		return body, nil
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, fmt.Errorf("the form cannot be read: %w", err)
		}
		if !form.Has("payload") {
			return nil, errors.New("the form has no field called payload")
		}
		return []byte(form.Get("payload")), nil
	}
	return nil, fmt.Errorf("the content type is %q: choose application/json in the webhook's settings", cut(contentType, 100))
}

// describe adds the words and paths. Without a head commit (a deleted ref, an old server) the last of the list is it.
func (g *githubPush) describe(p *events.PushReceived) {
	newest := g.HeadCommit
	if newest == nil && len(g.Commits) > 0 {
		newest = &g.Commits[len(g.Commits)-1]
	}
	if newest != nil {
		p.Message = newest.Message
		p.Author = newest.Author.String()
	}
	if p.Pusher = g.Pusher.login(); p.Pusher == "" {
		p.Pusher = g.Sender.login()
	}
	if p.After == "" {
		return
	}
	for _, c := range g.Commits {
		p.Paths = append(p.Paths, slices.Concat(c.Added, c.Modified, c.Removed)...)
	}
	slices.Sort(p.Paths)
	p.Paths = slices.Compact(p.Paths)
	// A new ref and a forced one differ from what ran before by more than the commits that are listed.
	p.MorePaths = g.Created || g.Forced || p.Before == "" || len(g.Commits) >= maxCommits || len(g.Commits) == 0
}

// repository reads which repository was pushed to: the host of its own address, and owner and name.
func (g *githubPush) repository() (repository, error) {
	if g.Repository == nil {
		return repository{}, errors.New("the payload names no repository")
	}
	owner, name, ok := strings.Cut(g.Repository.FullName, "/")
	if !ok || owner == "" || name == "" || strings.Contains(name, "/") {
		return repository{}, fmt.Errorf("%q is not owner/name of a repository", cut(g.Repository.FullName, 100))
	}
	for _, address := range []string{g.Repository.CloneURL, g.Repository.HTMLURL} {
		if r, ok := parseRepository(address); ok {
			return repository{r.host, strings.ToLower(g.Repository.FullName)}, nil
		}
	}
	return repository{}, errors.New("the payload does not say at which host the repository is")
}

// parseRepository reads a clone URL, or git's short form for ssh.
func parseRepository(clone string) (repository, bool) {
	if !strings.Contains(clone, "://") {
		host, path, ok := strings.Cut(clone, ":")
		if !ok {
			return repository{}, false
		}
		clone = "ssh://" + host + "/" + path
	}
	u, err := url.Parse(clone)
	if err != nil || u.Hostname() == "" {
		return repository{}, false
	}
	path := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(strings.Trim(u.Path, "/")), ".git"), "/")
	return repository{strings.ToLower(u.Hostname()), path}, path != ""
}

// objectID reads a commit, or the zeros that stand for none.
func objectID(field, s string) (events.Commit, error) {
	if (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0") == "" {
		return "", nil
	}
	c, err := events.ParseCommit(s)
	if err != nil {
		return "", fmt.Errorf("the payload's field %q: %w", field, err)
	}
	return c, nil
}

// String is the person's name and address.
func (p *githubPerson) String() string {
	switch {
	case p == nil:
		return ""
	case p.Email == "":
		return p.Name
	}
	return strings.TrimSpace(p.Name + " <" + p.Email + ">")
}

func (p *githubPerson) login() string {
	if p == nil {
		return ""
	}
	if p.Login != "" {
		return p.Login
	}
	return p.Name
}
