package builder

import (
	"io"
	"strings"

	"shiplog/events"
	"shiplog/internal/git"
)

// Job is one attempt at building one component.
type Job struct {
	ID       string // "<deployment>-<component>-<attempt>"; appears in the names of directories and cgroups
	Source   git.Source
	Revision events.Revision

	Dockerfile     string            // path in the repository; default "Dockerfile" in Dir
	Dir            string            // build context, a directory of the repository; default its root
	Target         string            // stage to build; default the last
	Args           map[string]string // build arguments; they end up in the image's history, so no secrets here
	Secrets        map[string][]byte // by id, for RUN --mount=type=secret,id=…; at most 500 KiB each
	SecretVersions map[string]string // recorded in the inputs, never given to the build
	NoCache        bool              // build every step again

	Destination string // "registry:port/repository:tag"
	User        string // credentials of the destination's registry; used for nothing else
	Password    string
	Plain       bool // the registry speaks plain HTTP; a registry on a loopback address always may

	Log io.Writer // gets the build log, capped at Limits.LogBytes; may be nil
}

// Built is what a build led to.
type Built struct {
	Digest events.Digest // of the manifest in the registry
	Inputs events.Inputs // complete
	Phases []events.Phase
}

// Failure is a build that led to no image.
type Failure struct {
	Step   string // "checkout", "build" or "push"
	Reason string // for people: names the thing and the next step, at most 2 KiB
	Retry  bool   // our fault or the network's: another attempt is worth it
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

// The names of the steps and phases.
const (
	stepCheckout = "checkout"
	stepBuild    = "build"
	stepPush     = "push"
)

// fail makes a failure, with its reason cut to the size an event may hold.
func fail(step, reason string, retry bool) *Failure {
	const most = 2 << 10
	reason = strings.ToValidUTF8(reason, "\uFFFD")
	if len(reason) > most {
		reason = strings.ToValidUTF8(reason[:most-len("…")], "") + "…"
	}
	return &Failure{Step: step, Reason: reason, Retry: retry}
}
