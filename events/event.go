package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// Event is a fact. The set is sealed: only the types in the registry below implement it, and [Unknown].
type Event interface{ event() }

// kind is what the log calls a type of event.
type kind struct {
	name    string // wire name; a retired one is never used again
	version int    // of the payload, from 1
	zero    Event
}

// registry is the explicit list of wire names. Order does not matter; names do.
var registry = []kind{
	{"AppCreated", 1, AppCreated{}},
	{"SpecChanged", 1, SpecChanged{}},
	{"AppStopped", 1, AppStopped{}},
	{"AppStarted", 1, AppStarted{}},
	{"AppDeleted", 1, AppDeleted{}},
	{"NameClaimed", 1, NameClaimed{}},
	{"NameFreed", 1, NameFreed{}},
	{"PushReceived", 1, PushReceived{}},
	{"PushJudged", 1, PushJudged{}},
	{"Pinned", 1, Pinned{}},
	{"Unpinned", 1, Unpinned{}},
	{"Quarantined", 1, Quarantined{}},
	{"Unquarantined", 1, Unquarantined{}},
	{"DeploymentRequested", 1, DeploymentRequested{}},
	{"BuildStarted", 1, BuildStarted{}},
	{"ImageBuilt", 1, ImageBuilt{}},
	{"ImagePulled", 1, ImagePulled{}},
	{"BuildFailed", 1, BuildFailed{}},
	{"JobStarted", 1, JobStarted{}},
	{"JobFinished", 1, JobFinished{}},
	{"RolloutStarted", 1, RolloutStarted{}},
	{"Released", 1, Released{}},
	{"DeploymentFailed", 1, DeploymentFailed{}},
	{"DeploymentSuperseded", 1, DeploymentSuperseded{}},
	{"DeploymentCanceled", 1, DeploymentCanceled{}},
	{"AutoRolledBack", 1, AutoRolledBack{}},
	{"InstanceFailed", 1, InstanceFailed{}},
	{"ImageRemoved", 1, ImageRemoved{}},
}

func (AppCreated) event()           {}
func (SpecChanged) event()          {}
func (AppStopped) event()           {}
func (AppStarted) event()           {}
func (AppDeleted) event()           {}
func (NameClaimed) event()          {}
func (NameFreed) event()            {}
func (PushReceived) event()         {}
func (PushJudged) event()           {}
func (Pinned) event()               {}
func (Unpinned) event()             {}
func (Quarantined) event()          {}
func (Unquarantined) event()        {}
func (DeploymentRequested) event()  {}
func (BuildStarted) event()         {}
func (ImageBuilt) event()           {}
func (ImagePulled) event()          {}
func (BuildFailed) event()          {}
func (JobStarted) event()           {}
func (JobFinished) event()          {}
func (RolloutStarted) event()       {}
func (Released) event()             {}
func (DeploymentFailed) event()     {}
func (DeploymentSuperseded) event() {}
func (DeploymentCanceled) event()   {}
func (AutoRolledBack) event()       {}
func (InstanceFailed) event()       {}
func (ImageRemoved) event()         {}
func (Unknown) event()              {}

// Unknown is an event that this reader does not understand: a type or version from the future, or a payload it cannot
// read. It is never written. An app whose history holds one is read-only until a newer Shiplog reads it.
type Unknown struct {
	Type    string
	Version int
	Why     string // for people
}

// MaxBytes is the most that an event's payload may hold: 64 KiB less room for the envelope. A spec may take 48 KiB.
const MaxBytes = 62 << 10

// ErrTooLarge refuses an event over [MaxBytes], and a batch over [MaxBatch].
var ErrTooLarge = errors.New("too large for the log")

var (
	byName = map[string]kind{}
	byType = map[reflect.Type]kind{}
)

func init() {
	for _, k := range registry {
		byName[k.name], byType[reflect.TypeOf(k.zero)] = k, k
	}
}

// TypeOf returns the wire name and version an event is written under.
func TypeOf(e Event) (name string, version int) {
	if u, ok := e.(Unknown); ok {
		return u.Type, u.Version
	}
	k := byType[reflect.TypeOf(e)]
	return k.name, k.version
}

// Encode returns the payload of an event. It fails with [ErrTooLarge], and for an Unknown, which cannot be written.
func Encode(e Event) ([]byte, error) {
	if u, ok := e.(Unknown); ok {
		return nil, fmt.Errorf("an event of unknown type %s cannot be written", clip(u.Type))
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if len(body) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(body))
	}
	return body, nil
}

// Decode is the inverse of Encode. It never fails: what it does not understand is an [Unknown].
func Decode(name string, version int, body []byte) Event {
	k, ok := byName[name]
	if !ok || version > k.version || version < 1 {
		return Unknown{name, version, "this version of Shiplog does not know it"}
	}
	ptr := reflect.New(reflect.TypeOf(k.zero))
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(ptr.Interface()); err != nil {
		return Unknown{name, version, "its payload cannot be read: " + err.Error()}
	}
	if _, err := dec.Token(); err != io.EOF {
		return Unknown{name, version, "its payload goes on after its end"}
	}
	return ptr.Elem().Interface().(Event)
}
