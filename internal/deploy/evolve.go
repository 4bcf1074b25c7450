package deploy

import "shiplog/events"

// Evolve returns the app after an event. It consumes a: its maps are changed in place (use [App.Clone] to keep one).
func Evolve(a App, r events.Recorded) App { panic("being written") }
