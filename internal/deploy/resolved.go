package deploy

import (
	"slices"

	"shiplog/events"
)

// Resolved is what a ref that a person wrote was found to be, at a git server or a registry.
type Resolved struct {
	Target events.Target
	Kind   events.RefKind
	Note   string // for people: which of several things of that name was taken; usually empty
}

// Did reports whether the order of that id was carried out, as far as the app remembers (its last few hundred events).
// An edge asks it before it prepares a command, because a repeated order must not be refused for what it led to.
func (a App) Did(orderID string) bool {
	s := story{order: Order{App: a.ID, ID: orderID}}
	return slices.Contains(a.Recent, s.eventID(0))
}
