package events

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// Spec is an app's configuration, in the field names of App Platform's app spec. Parsing and checking live in
// internal/spec; a Spec inside an event has been checked. SECRET values are never here: Env.Value then holds a sealed
// reference (EV[1:…]).
type Spec struct {
	Name     string      `json:"name"`
	Region   string      `json:"region,omitempty"`
	Services []Component `json:"services,omitempty"`
	Workers  []Component `json:"workers,omitempty"`
	Envs     []Env       `json:"envs,omitempty"`
	Features []string    `json:"features,omitempty"`
}

// Component is a service or a worker.
type Component struct {
	Name string `json:"name"` // unique in the app; its DNS name in the app's network

	// Exactly one of the next five is set.
	Git       *GitSource   `json:"git,omitempty"`
	GitHub    *ForgeSource `json:"github,omitempty"`
	GitLab    *ForgeSource `json:"gitlab,omitempty"`
	Bitbucket *ForgeSource `json:"bitbucket,omitempty"`
	Image     *ImageSource `json:"image,omitempty"`

	DockerfilePath  string       `json:"dockerfile_path,omitempty"` // relative to the repository's root; default "Dockerfile" in SourceDir
	SourceDir       string       `json:"source_dir,omitempty"`      // build context, relative to the repository's root; default its root
	BuildTarget     string       `json:"build_target,omitempty"`    // stage of a multi-stage Dockerfile; default the last. Ours, not App Platform's
	RunCommand      string       `json:"run_command,omitempty"`     // replaces the image's command, run by /bin/sh -c
	Envs            []Env        `json:"envs,omitempty"`
	InstanceCount   int          `json:"instance_count,omitempty"`     // default 1, at most 250
	InstanceSize    string       `json:"instance_size_slug,omitempty"` // kept, and shown; limits by size come with scaling
	HTTPPort        int          `json:"http_port,omitempty"`          // services; default 8080, given to the container as PORT
	Routes          []Route      `json:"routes,omitempty"`             // services; default "/" where the app has one service
	HealthCheck     *HealthCheck `json:"health_check,omitempty"`       // services; default a TCP probe of HTTPPort
	Termination     *Termination `json:"termination,omitempty"`
	EnvironmentSlug string       `json:"environment_slug,omitempty"` // kept, and shown; builds need a Dockerfile
}

// GitSource is a repository by its clone URL. It deploys on push.
type GitSource struct {
	RepoCloneURL string `json:"repo_clone_url"`
	Branch       string `json:"branch"` // a branch, a tag or a full commit
}

// ForgeSource is a repository on a known forge.
type ForgeSource struct {
	Repo         string `json:"repo"` // "owner/name"
	Branch       string `json:"branch"`
	DeployOnPush bool   `json:"deploy_on_push,omitempty"`
}

// ImageSource is an image that somebody else builds.
type ImageSource struct {
	RegistryType string `json:"registry_type,omitempty"` // DOCKER_HUB, GHCR or DOCR; empty: Registry is a host
	Registry     string `json:"registry,omitempty"`      // the account on Docker Hub, else the registry's host
	Repository   string `json:"repository"`
	Tag          string `json:"tag,omitempty"`    // default "latest" where Digest is empty
	Digest       Digest `json:"digest,omitempty"` // excludes Tag
}

// Env is one environment variable.
type Env struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
	Scope string `json:"scope,omitempty"` // RUN_TIME, BUILD_TIME or RUN_AND_BUILD_TIME (default)
	Type  string `json:"type,omitempty"`  // GENERAL (default) or SECRET
}

// Route is a path prefix that a service answers.
type Route struct {
	Path               string `json:"path"`                           // begins with "/"
	PreservePathPrefix bool   `json:"preserve_path_prefix,omitempty"` // default: the prefix is cut off
}

// HealthCheck decides when an instance may get requests. Times are in seconds.
type HealthCheck struct {
	HTTPPath            string `json:"http_path,omitempty"` // default: a TCP connect is enough
	Port                int    `json:"port,omitempty"`      // default HTTPPort
	InitialDelaySeconds int    `json:"initial_delay_seconds,omitempty"`
	PeriodSeconds       int    `json:"period_seconds,omitempty"`    // default 10
	TimeoutSeconds      int    `json:"timeout_seconds,omitempty"`   // default 1
	SuccessThreshold    int    `json:"success_threshold,omitempty"` // default 1
	FailureThreshold    int    `json:"failure_threshold,omitempty"` // default 9
}

// Termination is how an instance goes. Times are in seconds.
type Termination struct {
	DrainSeconds       int `json:"drain_seconds,omitempty"`        // default 15: requests under way may finish
	GracePeriodSeconds int `json:"grace_period_seconds,omitempty"` // default 120: between TERM and KILL
}

// Components returns services, then workers, in the spec's order.
func (s Spec) Components() []Component { return slices.Concat(s.Services, s.Workers) }

// Component finds a component by name.
func (s Spec) Component(name string) (Component, bool) {
	for _, c := range s.Components() {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// IsService reports whether the component of that name answers requests.
func (s Spec) IsService(name string) bool {
	return slices.ContainsFunc(s.Services, func(c Component) bool { return c.Name == name })
}

// SpecHash names a spec by content: the SHA-256 of its JSON form, in hex.
type SpecHash string

// Hash returns the spec's name by content.
func (s Spec) Hash() SpecHash {
	sum := sha256.Sum256(mustJSON(s))
	return SpecHash(hex.EncodeToString(sum[:]))
}

// Repository returns the clone URL and branch of a component that is built from git; ok is false for an image source.
func (c Component) Repository() (url, branch string, ok bool) {
	switch {
	case c.Git != nil:
		return c.Git.RepoCloneURL, c.Git.Branch, true
	case c.GitHub != nil:
		return "https://github.com/" + c.GitHub.Repo + ".git", c.GitHub.Branch, true
	case c.GitLab != nil:
		return "https://gitlab.com/" + c.GitLab.Repo + ".git", c.GitLab.Branch, true
	case c.Bitbucket != nil:
		return "https://bitbucket.org/" + c.Bitbucket.Repo + ".git", c.Bitbucket.Branch, true
	}
	return "", "", false
}

// DeployOnPush reports whether a push to the component's branch deploys it. A plain git source always does.
func (c Component) DeployOnPush() bool {
	for _, f := range []*ForgeSource{c.GitHub, c.GitLab, c.Bitbucket} {
		if f != nil {
			return f.DeployOnPush
		}
	}
	return c.Git != nil
}

// SameSource reports whether two components take their code or image from the same place and line of history.
func (c Component) SameSource(d Component) bool {
	cu, cb, cok := c.Repository()
	du, db, dok := d.Repository()
	if cok || dok {
		return cok == dok && cu == du && cb == db
	}
	return c.Image != nil && d.Image != nil && *c.Image == *d.Image
}

// BuildKey names everything about a build that is known before it runs: the commit and the component's build settings.
// Two builds with the same key are taken for the same image ("build skipped"). It is part of the log's format.
func (s Spec) BuildKey(c Component, commit Commit) string {
	url, _, _ := c.Repository()
	in := struct {
		Commit                       Commit
		URL, Dockerfile, Dir, Target string
		Args                         []Env
	}{commit, url, c.DockerfilePath, c.SourceDir, c.BuildTarget, s.EnvsFor(c, "BUILD_TIME")}
	sum := sha256.Sum256(mustJSON(in))
	return hex.EncodeToString(sum[:16])
}

// EnvsFor returns the variables of one scope ("RUN_TIME" or "BUILD_TIME") that a component sees, sorted by key; its own
// override the app's.
func (s Spec) EnvsFor(c Component, scope string) []Env {
	byKey := map[string]Env{}
	for _, e := range slices.Concat(s.Envs, c.Envs) {
		if e.Scope == "" || e.Scope == scope || e.Scope == "RUN_AND_BUILD_TIME" || e.Scope == "UNSET" {
			byKey[e.Key] = e
		} else {
			delete(byKey, e.Key)
		}
	}
	out := make([]Env, 0, len(byKey))
	for _, e := range byKey {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Env) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	})
	return out
}

// mustJSON encodes plain structs of strings and numbers, for which encoding/json cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
