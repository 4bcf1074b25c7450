package builder

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
)

// atStep is how buildah names the instruction that failed.
var atStep = regexp.MustCompile(`(?s)building at STEP "(.*?)": (.*)$`)

// notAllowed is what the proxy's refusal looks like on the other side.
const notAllowed = "not allowed by ruleset"

// noTarget is how buildah says that there is no stage of the name that was asked for.
var noTarget = regexp.MustCompile(`the target "(.*?)" was not found`)

// buildFailure turns buildah's error into a reason: which line of which file, and what to do.
func buildFailure(file dockerfile, err error) *Failure {
	text := err.Error()
	if m := atStep.FindStringSubmatch(text); m != nil {
		where := file.name
		if n := lineOf(file, m[1]); n > 0 {
			where = fmt.Sprintf("%s:%d", file.name, n)
		}
		why := strings.TrimPrefix(m[2], "while running runtime: ")
		return fail(stepBuild, fmt.Sprintf("%s: %s failed: %s. The end of the build log shows what it printed", where, clip(m[1]), why), false)
	}
	if strings.Contains(text, notAllowed) {
		return fail(stepBuild, fmt.Sprintf("%s: a base image is in a registry that is not at a public address: allow its network with --source-allow. %s",
			file.name, text), false)
	}
	if m := noTarget.FindStringSubmatch(text); m != nil {
		return fail(stepBuild, fmt.Sprintf("%s has no stage called %s: correct build_target, or name a stage so (FROM … AS %s)", file.name, clip(m[1]), clip(m[1])), false)
	}
	if unreachable(err) {
		return fail(stepBuild, fmt.Sprintf("%s: a base image cannot be fetched: %s. Check that its registry can be reached", file.name, text), true)
	}
	return fail(stepBuild, fmt.Sprintf("%s: %s", file.name, text), false)
}

// pushFailure tells a registry that refuses from one that is not there.
func pushFailure(job wireJob, err error) *Failure {
	what := fmt.Sprintf("push to %s: %v", job.Destination, err)
	if refused(err) {
		return fail(stepPush, what+". Correct the registry's credentials", false)
	}
	return fail(stepPush, what+". Check that the registry is running and has room", true)
}

// unreachable reports whether an error is the network's or a server's, so that trying again may help.
func unreachable(err error) bool {
	var n net.Error
	if errors.As(err, &n) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	text := err.Error()
	if strings.Contains(text, "manifest unknown") || strings.Contains(text, "name unknown") || strings.Contains(text, "unauthorized") ||
		strings.Contains(text, "denied") {
		return false // it answered
	}
	for _, sign := range []string{"connection refused", "no route to host", "no such host", "i/o timeout", "unexpected EOF", "toomanyrequests",
		"status: 5", "500 Internal", "502 Bad", "503 Service", "504 Gateway", "connection reset"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}
