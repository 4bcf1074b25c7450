// Package spec reads, checks, completes and writes an app's spec, in YAML or JSON, in the field names of App
// Platform's app spec. It is the edge where outside text becomes an [events.Spec].
//
// Two steps, so that a spec which arrives in another way can be checked too:
//
//	s, err := spec.Parse(body) // the shape: unknown fields, wrong types, parts that are not built yet
//	s, err = spec.Check(s)     // the meaning: names, sources, ranges; and the normal form
//
// Both return [Problems], which holds everything that is wrong and not only the first thing. Check is idempotent, and
// it accepts sealed secrets, so it can run again after secrets.Store.Seal, which makes a spec longer.
package spec
