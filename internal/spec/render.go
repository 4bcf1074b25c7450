package spec

import (
	"encoding/json"

	"shiplog/events"
)

// Render writes a spec as YAML, in the field order of App Platform's documents. [Parse] reads it back to the same spec.
// Secrets stay as they are in the spec: sealed.
func Render(s events.Spec) ([]byte, error) {
	out, err := writeYAML(s)
	if err != nil {
		return nil, err
	}
	if back, err := Parse(out); err == nil && back.Hash() == clone(s).Hash() {
		return out, nil
	}
	// A value that the YAML library does not quote rightly. JSON is YAML too.
	out, err = json.MarshalIndent(s, "", "  ")
	return append(out, '\n'), err
}
