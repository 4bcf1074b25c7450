// Package api is the HTTP contract: App Platform's /v2/apps on the wire, and beside it what App Platform does not have
// (pins, stop and start, releases, history at a time).
//
// It decides nothing. A request that changes something becomes a command for a [Desk]; a request that reads asks the
// desk for an app's present state, or the [History] for what was. What App Platform's objects look like is computed
// from deploy's by pure functions (appobject.go, deployment.go, progress.go).
//
// Three promises to clients, who retry every method on 5xx: no 5xx once the event is in the log; a command with an
// Idempotency-Key is carried out once and answered alike each time; a reply never shows less than what it confirms.
package api
