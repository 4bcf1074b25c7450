package events

import "strconv"

// PushReceived is written when a delivery is accepted, before anything is asked of the git server. Its fields are what
// the sender said: a hint, never an identity.
type PushReceived struct {
	Provider   string   `json:"provider"`   // "git" for the built-in remote, "github", …
	Delivery   string   `json:"delivery"`   // the sender's id of the delivery
	Change     int      `json:"change"`     // index among the refs of one delivery
	Repository string   `json:"repository"` // clone URL of the app's source that the sender's repository matched
	Ref        RefName  `json:"ref"`
	Before     Commit   `json:"before,omitempty"`  // empty: the ref was made
	After      Commit   `json:"after,omitempty"`   // empty: the ref was deleted
	Forced     bool     `json:"forced,omitempty"`  // the new commit does not follow the old one
	Message    string   `json:"message,omitempty"` // of the newest commit, at most 1,024 bytes
	Author     string   `json:"author,omitempty"`  // of the newest commit, at most 256 bytes
	Pusher     string   `json:"pusher,omitempty"`  // at most 256 bytes
	Paths      []string `json:"paths,omitempty"`   // changed paths, at most 100 and 32 KiB
	MorePaths  bool     `json:"more_paths,omitempty"`
	BodyHash   string   `json:"body_hash,omitempty"` // SHA-256 of the raw body, in hex
}

// PushID names one change of one delivery within an app.
func (p PushReceived) PushID() string { return pushID(p.Delivery, p.Change) }

// Verdict is what became of a push.
type Verdict string

// The verdicts. Every push gets one; all but VerdictDeploys lead to no deployment.
const (
	VerdictDeploys     Verdict = "deploys"
	VerdictHeld        Verdict = "held by pin"
	VerdictOtherBranch Verdict = "other branch"
	VerdictPathFilter  Verdict = "path filter"
	VerdictSkipMark    Verdict = "skip mark"
	VerdictDeletedRef  Verdict = "deleted ref"
	VerdictDuplicate   Verdict = "duplicate"
	VerdictQuarantined Verdict = "quarantined"
	VerdictManual      Verdict = "deploy on push is off"
	VerdictUnresolved  Verdict = "unresolvable" // the git server did not know the ref, for good
)

// PushJudged is written once the ref was resolved at the git server.
type PushJudged struct {
	Delivery   string   `json:"delivery"`
	Change     int      `json:"change"`
	Ref        RefName  `json:"ref"`
	Revision   Revision `json:"revision,omitzero"` // what the ref resolved to
	Verdict    Verdict  `json:"verdict"`
	Reason     string   `json:"reason,omitempty"`     // for people
	Repository string   `json:"repository"`           // as in PushReceived
	Components []string `json:"components,omitempty"` // those that it deploys
	Held       []string `json:"held,omitempty"`       // those that it is for, but a pin holds
	Deployment ID       `json:"deployment,omitempty"` // when it deploys
}

// PushID names the push that was judged.
func (p PushJudged) PushID() string { return pushID(p.Delivery, p.Change) }

func pushID(delivery string, change int) string { return delivery + "#" + strconv.Itoa(change) }
