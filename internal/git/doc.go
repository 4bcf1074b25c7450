// Package git is the one home of go-git: resolving refs, checking out commits, and the built-in remote.
package git
