// Package git is the one home of go-git: resolving refs, checking out commits, and the built-in remote.
//
// Every server, repository and tree it meets is taken for hostile. Outgoing connections go to public addresses only, or to
// networks that were listed, and the address is checked when it is connected to, not when the name is written
// ([Source.Allow]); there is no file protocol, no proxy and no redirect to another host. What is fetched is counted while it
// comes in, and objects are measured before they are unpacked.
//
// The built-in remote ([Remote]) is git's own http-backend; this package stands before it and keeps what it stores.
package git
