// Package spec is a stand-in until branch edge is merged.
package spec

import (
	"bytes"
	"encoding/json"

	"shiplog/events"
)

func Parse(b []byte) (s events.Spec, err error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return s, dec.Decode(&s)
}
