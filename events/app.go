package events

// AppCreated begins an app's history.
type AppCreated struct {
	Name string `json:"name"`
	Spec Spec   `json:"spec"`
}

// SpecChanged replaces the app's configuration.
type SpecChanged struct {
	Spec Spec `json:"spec"`
}

// AppStopped means no instance should run until AppStarted.
type AppStopped struct {
	Reason string `json:"reason,omitempty"` // free text
}

// AppStarted ends a stop: the last release runs again.
type AppStarted struct{}

// AppDeleted ends an app's history. Its name is free again; its events stay.
type AppDeleted struct{}

// NameClaimed gives a unique name to an app. It is written to the name's subject in the batch that makes the app.
type NameClaimed struct {
	App ID `json:"app"`
}

// NameFreed gives the name back.
type NameFreed struct {
	App ID `json:"app"`
}
