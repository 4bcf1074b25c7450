package builder

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"
)

// The names under which the binary runs itself.
const (
	childName = "shiplog-build"
	stepsName = "shiplog-build-steps"
)

// Main runs the process as one of a build's, if it was started as one, and then reports true: the caller returns at
// once. It must be the first thing that main does.
func Main() bool {
	if buildahMain() {
		return true
	}
	switch os.Args[0] {
	case childName:
		answer(child)
		return true
	case stepsName:
		answer(steps)
		return true
	case insideHardener:
		hardenMain()
		return true
	}
	return false
}

// answer reads the request on standard input, does it and writes the reply on descriptor 3. Standard output and error
// are the build log.
func answer(do func(request) reply) {
	unix.CloseOnExec(3)
	out := os.NewFile(3, "reply")
	var req request
	rep := reply{}
	if err := json.NewDecoder(os.Stdin).Decode(&req); err != nil {
		rep.Failure = fail(stepBuild, "the build's process got no request: "+err.Error(), true)
	} else {
		rep = guard(do, req)
	}
	if err := json.NewEncoder(out).Encode(rep); err != nil {
		fmt.Fprintln(os.Stderr, "write the build's result:", err)
		os.Exit(1)
	}
	_ = out.Close()
}

// guard turns a panic in a library into a failure. The log gets the stack, because the process has no other place.
func guard(do func(request) reply, req request) (rep reply) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", p, debug.Stack())
			rep = reply{Failure: fail(stepBuild, fmt.Sprintf("the builder broke: %v; the build log has the details", p), false)}
		}
	}()
	return do(req)
}

// request is what the service asks of the child, and the child of the steps. Secrets travel in it, through a pipe.
type request struct {
	Sweep   bool   // remove the working containers of Token ("" means all) instead of building
	Token   string // names this build's working containers
	Job     wireJob
	Work    string // the job's directory, on the host
	Layers  string // the directory of layers, on the host
	Mounts  string // the directory of cache mounts, on the host
	Config  string // the directory of policy.json and registries.conf, on the host
	Hide    []string
	Runc    string // empty: isolate by chroot
	Link    *link  // nil: no network
	Dial    dialPolicy
	Disk    int64  // bytes that must stay free
	Shiplog string // version

	// From the child to the steps only.
	Proxy string // URL of the child's proxy to registries
	Tree  string
	Epoch int64 // commit time, Unix seconds
}

// wireJob is a Job without its writer.
type wireJob Job

// MarshalJSON leaves the log out.
func (j wireJob) MarshalJSON() ([]byte, error) {
	j.Log = nil
	type plain wireJob
	return json.Marshal(plain(j))
}

// reply is the answer. Exactly one of Built and Failure is set, except for a sweep that went well.
type reply struct {
	Built   *Built
	Failure *Failure
	Dirty   bool // working containers may have been left in the storage
}
