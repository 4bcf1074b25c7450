package events

import "time"

// RefKind says what a pin follows.
type RefKind string

// The kinds of ref a person can pin to. A branch floats; the others are fixed and hold newer pushes.
const (
	RefBranch  RefKind = "branch"
	RefTag     RefKind = "tag"
	RefCommit  RefKind = "commit"
	RefDigest  RefKind = "digest"
	RefRelease RefKind = "release"
)

// Pinned means a person chose what a component runs.
type Pinned struct {
	Component  string            `json:"component,omitempty"` // empty: every component
	Kind       RefKind           `json:"kind"`
	Ref        string            `json:"ref"`      // as the person wrote it: "main", "v3", "sha256:…"
	Resolved   map[string]Target `json:"resolved"` // by component, at the time of pinning
	Reason     string            `json:"reason,omitempty"`
	Expires    time.Time         `json:"expires,omitzero"`     // unpins itself then; zero: never
	Deployment ID                `json:"deployment,omitempty"` // the one that makes it so; empty when it already runs
	SpecHash   SpecHash          `json:"spec_hash,omitempty"`  // the spec that came back with a release; empty: unchanged
	Before     *Before           `json:"before,omitempty"`     // what revert returns to; only on the first pin of a row
}

// Before is the state that revert returns to. That of a component's pin wants only the component.
type Before struct {
	SpecHash SpecHash          `json:"spec_hash"`
	Want     map[string]Target `json:"want"`
}

// UnpinWhy says why a pin ended.
type UnpinWhy string

// Why a pin ended.
const (
	UnpinCommit  UnpinWhy = "commit"  // the rollback is kept
	UnpinRevert  UnpinWhy = "revert"  // back to before the first pin of the row
	UnpinExpired UnpinWhy = "expired" // its time was over
	UnpinByHand  UnpinWhy = "by hand" // on to the newest held push
)

// Unpinned means a component follows its source again.
type Unpinned struct {
	Component  string   `json:"component,omitempty"` // empty: every component; of an expired pin: all without one of their own
	Why        UnpinWhy `json:"why"`
	Deployment ID       `json:"deployment,omitempty"` // the one that moves on; empty when nothing was held
	SpecHash   SpecHash `json:"spec_hash,omitempty"`  // the spec from before the pin, where the pin had brought its own
}

// Quarantined means a revision or an image never deploys again. Exactly one of Commit and Digest is set.
type Quarantined struct {
	Commit Commit `json:"commit,omitempty"`
	Digest Digest `json:"digest,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Unquarantined lifts a quarantine.
type Unquarantined struct {
	Commit Commit `json:"commit,omitempty"`
	Digest Digest `json:"digest,omitempty"`
}
