// Package events is the vocabulary of Shiplog: what can have happened to an app, the words those facts are
// written in, and what a log of them is. It imports the standard library only, and everything else imports it.
//
// A fact is an [Event], a sealed set of plain structs named in the past tense. Once it is in a [Log] it is a
// [Recorded]: the event, its [Meta] (who, when, why) and its place and hash in the chain of its [Subject].
//
// # Adding an event
//
//  1. Declare the struct in the file of its noun, with a doc comment on every field.
//  2. Add it to the registry in event.go under a wire name that was never used before.
//  3. Run the tests with -update: a golden file appears in testdata/golden. Commit it.
//  4. Teach deploy.Evolve about it.
//
// # Changing an event
//
// Nothing is ever changed. A field that is added, dropped or means something else is a new version: keep the old
// struct's shape in an upcaster, raise the version in the registry, and leave the old golden file as it is.
// Decoding is strict: a field this reader does not know means a newer writer, and the app turns read-only rather
// than being half understood.
package events
