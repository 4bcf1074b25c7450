package deploy

import "shiplog/events"

// Decide returns what an order adds to the app's history: nothing when what it asks for is already so. The events' ids
// follow from the order's id and their index. It returns a *[Refusal] when the order cannot be accepted.
func Decide(a App, o Order) ([]events.Draft, error) { panic("being written") }
