// Package ingress is the front door of the apps: a reverse proxy in a process of its own, so that requests go on while
// the service restarts, is upgraded or is killed.
//
// The service tells it over a unix socket where each app's requests go ([Client]); it saves that table before it
// answers and starts from it, so it needs nobody to serve. A table entry carries the app's generation: one that is
// older than what is there is refused ([ErrStale]), so a late rollout cannot send requests back to what is gone.
//
// What a request can count on while a rollout switches backends and drains the old ones: it is never sent to a backend
// after [Client.Drain] has answered that nothing is left there, and when a backend refuses the connection another one
// gets the request.
//
// Not here yet: TLS, HTTP/2.
package ingress
