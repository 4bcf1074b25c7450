package events

import (
	"fmt"
	"strings"
)

// Subject is a line of history, without the stream's root: "app.<id>" or "name.<kind>.<name>". An app's history is the
// events of one subject, and a decision is taken against the last event of it.
type Subject string

// AppSubject is the history of one app.
func AppSubject(app ID) Subject { return Subject("app." + string(app)) }

// NameSubject is the history of who holds a unique name. Kind is "app" or, later, "domain"; dots in the name become "_",
// which no name may contain.
func NameSubject(kind, name string) Subject {
	return Subject("name." + kind + "." + strings.ReplaceAll(name, ".", "_"))
}

// App returns the app whose history the subject is.
func (s Subject) App() (ID, bool) {
	id, ok := strings.CutPrefix(string(s), "app.")
	return ID(id), ok
}

// Check refuses a subject that could not stand in the log: one of another shape than the two above, or with anything but
// letters, digits, "-" and "_" between the dots.
func (s Subject) Check() error {
	tokens := strings.Split(string(s), ".")
	if !(len(tokens) == 2 && tokens[0] == "app" || len(tokens) == 3 && tokens[0] == "name") || len(s) > 255 {
		return fmt.Errorf("%q is not a subject (app.<id> or name.<kind>.<name>)", clip(string(s)))
	}
	for _, token := range tokens {
		if token == "" || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return fmt.Errorf("%q is not a subject", clip(string(s)))
		}
	}
	return nil
}
