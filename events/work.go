package events

import "time"

// Intent is why a deployment was asked for.
type Intent string

// The intents.
const (
	IntentCreate   Intent = "create"   // the app's first
	IntentPush     Intent = "push"     // a push was judged to deploy
	IntentDeploy   Intent = "deploy"   // a person asked for the newest revision
	IntentSpec     Intent = "spec"     // the configuration changed
	IntentPin      Intent = "pin"      // a person pinned to something that never ran
	IntentRollback Intent = "rollback" // a person pinned to something that ran before
	IntentRevert   Intent = "revert"   // a rollback was taken back
	IntentUnpin    Intent = "unpin"    // a pin ended and something was held
	IntentRestart  Intent = "restart"  // the same images again
	IntentAuto     Intent = "auto"     // the release died and the one before it returns
)

// BuildMode is how much of earlier builds may be used.
type BuildMode string

// The build modes.
const (
	BuildReuse BuildMode = "reuse"    // an image of the same inputs is taken as it is ("build skipped")
	BuildForce BuildMode = "force"    // always built; layers may come from the cache
	BuildClean BuildMode = "no-cache" // always built, and the layer cache is not used
)

// Work is the identity of a piece of work; every event of one carries it.
type Work struct {
	Deployment ID     `json:"deployment"`
	Generation uint64 `json:"generation"` // the app's counter of deployments; fences every outside effect
}

// DeploymentRequested queues a deployment: a snapshot of what the app should run.
type DeploymentRequested struct {
	Work
	Intent     Intent            `json:"intent"`
	Cause      string            `json:"cause"` // for people: "commit 9a4df0b pushed to github/owner/name"
	Want       map[string]Target `json:"want"`  // by component; nil for a restart, which takes what runs when it starts
	SpecHash   SpecHash          `json:"spec_hash"`
	Mode       BuildMode         `json:"mode"`
	ClonedFrom ID                `json:"cloned_from,omitempty"` // the deployment whose result this repeats
	Push       string            `json:"push,omitempty"`        // PushID of the push that caused it
	Components []string          `json:"components,omitempty"`  // a restart of some; empty: all
	Source     *Change           `json:"source,omitempty"`      // what the push said of its newest commit
	Resolved   []Resolved        `json:"resolved,omitempty"`    // the refs that were asked for at the git server for it
}

// Change is the newest commit of a push, as its sender described it.
type Change struct {
	Provider string `json:"provider"`
	Commit   Commit `json:"commit"`
	Message  string `json:"message,omitempty"`
	Author   string `json:"author,omitempty"`
	Pusher   string `json:"pusher,omitempty"`
}

// Resolved is where a ref was found to be.
type Resolved struct {
	Repository string  `json:"repository"` // clone URL
	Ref        RefName `json:"ref"`
	Commit     Commit  `json:"commit"`
}

// BuildStarted means a builder took the work. The lease is over when Until passes without a renewal, or when the same
// builder claims again, which means it died in between.
type BuildStarted struct {
	Work
	Component string    `json:"component"`
	Attempt   int       `json:"attempt"` // from 1
	Builder   string    `json:"builder"`
	Until     time.Time `json:"until"`
}

// Inputs are what went into an image, recorded so that it can be built again and compared.
type Inputs struct {
	Tree        string            `json:"tree"`              // git tree of the commit
	Dockerfile  string            `json:"dockerfile"`        // SHA-256 of the file, in hex
	Args        map[string]string `json:"args,omitempty"`    // build arguments
	Secrets     map[string]string `json:"secrets,omitempty"` // build secrets: name -> version reference
	Bases       map[string]Digest `json:"bases,omitempty"`   // base images by the name the Dockerfile gives
	Target      string            `json:"target,omitempty"`  // stage
	Platform    string            `json:"platform"`          // "linux/amd64"
	Builder     string            `json:"builder"`           // name and version of what built it
	SourceEpoch int64             `json:"source_epoch"`      // commit time, Unix seconds
}

// Phase is one measured part of a piece of work.
type Phase struct {
	Name string `json:"name"` // "checkout", "build", "push", "pull", "start", "healthy", "switch"
	Ms   int64  `json:"ms"`   // milliseconds
}

// ImageBuilt means the image is in the registry under its digest.
type ImageBuilt struct {
	Work
	Component string   `json:"component"`
	Attempt   int      `json:"attempt"`
	Revision  Revision `json:"revision"`
	Digest    Digest   `json:"digest"`
	Key       string   `json:"key"` // Spec.BuildKey
	Inputs    Inputs   `json:"inputs"`
	Phases    []Phase  `json:"phases,omitempty"`
}

// ImagePulled means the engine has an image that was built before; no build was needed.
type ImagePulled struct {
	Work
	Component string  `json:"component"`
	Digest    Digest  `json:"digest"`
	From      string  `json:"from"` // "engine" (it was there) or the registry's name
	Phases    []Phase `json:"phases,omitempty"`
}

// BuildFailed means the attempt led to no image.
type BuildFailed struct {
	Work
	Component string `json:"component"`
	Attempt   int    `json:"attempt"`
	Reason    string `json:"reason"`          // names the thing and the next step, at most 2 KiB
	Retry     bool   `json:"retry,omitempty"` // our fault or the network's: another attempt is worth it
	Log       string `json:"log,omitempty"`   // last lines of the build log, at most 4 KiB
}

// JobStarted means a job runs in the new image.
type JobStarted struct {
	Work
	Component string `json:"component"`
	Attempt   int    `json:"attempt"`
}

// JobFinished is a job's end.
type JobFinished struct {
	Work
	Component string `json:"component"`
	Attempt   int    `json:"attempt"`
	ExitCode  int    `json:"exit_code"`
	Reason    string `json:"reason,omitempty"`
}

// RolloutStarted means instances are being started. Have is what will run, complete with digests.
type RolloutStarted struct {
	Work
	Attempt int               `json:"attempt"`
	Have    map[string]Target `json:"have"`
}

// Released means the deployment is healthy, gets the traffic and is the app's state.
type Released struct {
	Work
	Number   int               `json:"number,omitempty"` // of the release; empty for a restart, which makes none
	SpecHash SpecHash          `json:"spec_hash"`
	Have     map[string]Target `json:"have"`
	Phases   []Phase           `json:"phases,omitempty"`
}

// DeploymentFailed means the deployment is over and what served before still serves.
type DeploymentFailed struct {
	Work
	Component string `json:"component,omitempty"`
	Step      string `json:"step"`          // "build", "pull", "start", "healthy", "switch"
	Reason    string `json:"reason"`        // names the thing and the next step, at most 2 KiB
	Log       string `json:"log,omitempty"` // last lines of the component's log, at most 4 KiB
}

// DeploymentSuperseded means a newer one took its place before it rolled out.
type DeploymentSuperseded struct {
	Work
	By ID `json:"by"`
}

// DeploymentCanceled means a person stopped it.
type DeploymentCanceled struct {
	Work
	Reason string `json:"reason,omitempty"`
}

// AutoRolledBack means a release died after going live and the one before it was asked for.
type AutoRolledBack struct {
	Work
	To ID `json:"to"` // the deployment that runs again
}

// InstanceFailed means an instance died or stopped answering. It is rate limited: one per component and minute.
type InstanceFailed struct {
	Work
	Component string `json:"component"`
	Instance  string `json:"instance"`
	Reason    string `json:"reason"`
	Count     int    `json:"count"` // failures since the last such event
}

// ImageRemoved means the collector deleted an image that no kept release needs.
type ImageRemoved struct {
	Component string `json:"component"`
	Digest    Digest `json:"digest"`
}

// In returns the deployment that an event of its work belongs to.
func (w Work) In() ID { return w.Deployment }
