package deploy

import (
	"time"

	"shiplog/events"
)

// Command is a request that may be refused. The set is sealed; each is decided by Decide. Facts that a decision needs
// from outside (what a ref resolves to, what time it is) are fields of the command.
type Command interface{ command() }

// Order is a command with who gave it and its identity.
type Order struct {
	App     events.ID    // whose history; set by the handler
	ID      string       // the command's identity: an Idempotency-Key, or delivery and change, or cause and component and attempt
	Actor   events.Actor // who
	Cause   string       // what led to it, when that is not the command itself: an event id, a delivery
	At      time.Time    // when
	Command Command
}

// CreateApp makes the app. Refused when it exists (the name's own subject refuses a second app of that name).
type CreateApp struct {
	Spec    events.Spec
	Targets map[string]events.Target // by component, what its source resolved to; components without one wait for a push
}

// ChangeSpec replaces the configuration and always makes a deployment. Components keep their revision or digest;
// those whose source changed, and new ones, take theirs from Targets.
type ChangeSpec struct {
	Spec      events.Spec
	Targets   map[string]events.Target
	UpdateAll bool // take Targets for every component ("update_all_source_versions")
}

// DeleteApp ends the app.
type DeleteApp struct{}

// StopApp and StartApp make its instances go away and come back.
type StopApp struct{ Reason string }

// StartApp ends a stop.
type StartApp struct{}

// ReceivePush records a push as said by its sender.
type ReceivePush struct{ Push events.PushReceived }

// JudgePush says what a received push's ref resolved to. Err is set when the git server answered that there is no such ref.
type JudgePush struct {
	Push     string          // PushID
	Resolved events.Revision // zero: the ref is gone
	Err      string          // for good: why it could not be resolved
	Skip     events.Verdict  // a filter's verdict (path filter, skip mark), else ""
	Reason   string          // the filter's reason
}

// Deploy asks for the newest revision of every component, as resolved in Targets.
type Deploy struct {
	Targets map[string]events.Target
	Mode    events.BuildMode // default BuildReuse
}

// Restart runs the same images again. Components empty: all.
type Restart struct{ Components []string }

// PinTo pins to what the ref resolved to, and deploys that when it does not run already.
type PinTo struct {
	Component string
	Kind      events.RefKind
	Ref       string                   // as the person wrote it
	Targets   map[string]events.Target // by component
	SpecHash  events.SpecHash          // the spec to bring back with it; "" keeps the present one
	Reason    string
	Expires   time.Time
	Mode      events.BuildMode // default BuildReuse; BuildForce and BuildClean build even what was built before
	Commit    bool             // do not stay pinned ("skip_pin")
	// IfUnpinned refuses when a pin is in force, as App Platform's rollback does.
	IfUnpinned bool
}

// Unpin ends a pin.
type Unpin struct {
	Component string
	Why       events.UnpinWhy
}

// Quarantine marks a commit or an image as never to be deployed again; Lift takes that back.
type Quarantine struct {
	Commit events.Commit
	Digest events.Digest
	Reason string
	Lift   bool
}

// Cancel ends a deployment that is not over.
type Cancel struct {
	Deployment events.ID
	Reason     string
}

// ClaimBuild takes a component's build for a builder until the end of the lease.
type ClaimBuild struct {
	Deployment events.ID
	Component  string
	Builder    string
	Until      time.Time
}

// FinishBuild reports an image, FailBuild that there is none.
type FinishBuild struct {
	Deployment events.ID
	Component  string
	Attempt    int
	Digest     events.Digest
	Inputs     events.Inputs
	Phases     []events.Phase
}

// FailBuild reports an attempt without an image. With Retry and attempts left, the build is done again.
type FailBuild struct {
	Deployment events.ID
	Component  string
	Attempt    int
	Reason     string
	Retry      bool
	Log        string
}

// RecordPull reports that the engine has a component's image.
type RecordPull struct {
	Deployment events.ID
	Component  string
	Digest     events.Digest
	From       string
	Phases     []events.Phase
}

// StartRollout records that instances are being started.
type StartRollout struct{ Deployment events.ID }

// FinishRollout reports that the deployment is healthy and has the traffic.
type FinishRollout struct {
	Deployment events.ID
	Phases     []events.Phase
}

// FailDeployment reports that a deployment cannot go on.
type FailDeployment struct {
	Deployment events.ID
	Component  string
	Step       string
	Reason     string
	Log        string
}

// ReportInstance reports an instance that died.
type ReportInstance struct {
	Deployment events.ID
	Component  string
	Instance   string
	Reason     string
	Count      int
}

func (CreateApp) command()      {}
func (ChangeSpec) command()     {}
func (DeleteApp) command()      {}
func (StopApp) command()        {}
func (StartApp) command()       {}
func (ReceivePush) command()    {}
func (JudgePush) command()      {}
func (Deploy) command()         {}
func (Restart) command()        {}
func (PinTo) command()          {}
func (Unpin) command()          {}
func (Quarantine) command()     {}
func (Cancel) command()         {}
func (ClaimBuild) command()     {}
func (FinishBuild) command()    {}
func (FailBuild) command()      {}
func (RecordPull) command()     {}
func (StartRollout) command()   {}
func (FinishRollout) command()  {}
func (FailDeployment) command() {}
func (ReportInstance) command() {}
