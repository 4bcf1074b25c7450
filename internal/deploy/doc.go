// Package deploy is the mind of Shiplog: what an app's history means, what a command adds to it, and what should be
// done next. [Evolve], [Decide] and [Next] are pure: no clock, no I/O, no logger. The [Handler] runs them against a log
// and is the only place that retries.
//
// The rules that live here and nowhere else are in DESIGN's words "want, pin, supersede, hold, skip":
//
//   - App.Want is what each component should run; a deployment is a snapshot of it, so superseding loses nothing.
//   - A newer request supersedes queued and building ones; one that is rolling out finishes first; after two builds in
//     a row were superseded the third is let finish.
//   - A pin to a commit, tag, digest or release holds pushes; a pin to a branch follows that branch.
//   - An image whose digest is known is pulled, never built, unless a build is asked for.
package deploy
