package spec

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"shiplog/events"
)

// MaxText is the longest text that Parse reads: 256 KiB, comments and all. The spec itself may take [MaxBytes].
const MaxText = 256 << 10

// Parse reads a spec from YAML or JSON (a document whose first character is "{" and that is valid JSON is JSON).
//
// It is strict: a field that does not exist, a field given twice, a value of the wrong type and a part of App
// Platform's spec that is not built yet are errors that name the field, its path and its line. A field whose value
// says no more than its absence (null, 0, "", false, an empty list) is absent, as in App Platform's own clients.
// A number where text is wanted is taken as it is written.
//
// The error is a [Problems]. Parse does not judge what the fields mean: see [Check].
func Parse(b []byte) (events.Spec, error) {
	var s events.Spec
	var problems Problems
	if len(b) > MaxText {
		problems.add("", 0, "the text is %d bytes long; at most %d are read", len(b), MaxText)
		return s, problems
	}
	if !utf8.Valid(b) {
		problems.add("", 0, "the text is not UTF-8")
		return s, problems
	}
	read := readYAML
	if bytes.HasPrefix(bytes.TrimLeft(b, " \t\r\n"), []byte("{")) && json.Valid(b) {
		read = readJSON
	}
	root, err := read(b)
	switch {
	case err != nil:
		problems.add("", 0, "the spec cannot be read: %v", err)
	case root.shape == null:
		problems.add("", 0, "the spec is empty; it needs at least a name and a service or worker")
	default:
		r := reader{&problems}
		r.fill(reflect.ValueOf(&s).Elem(), root, "")
	}
	if len(problems) > 0 {
		return events.Spec{}, problems
	}
	return s, nil
}

// reader fills plain structs by their json tags.
type reader struct{ problems *Problems }

func (r reader) fill(v reflect.Value, n *node, path string) {
	if n.shape == null {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.fill(v.Elem(), n, path)
	case reflect.Struct:
		if r.want(object, n, path) {
			r.fields(v, n, path)
		}
	case reflect.Slice:
		if r.want(list, n, path) && len(n.items) > 0 {
			v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
			for i, item := range n.items {
				at := fmt.Sprintf("%s[%d]", path, i)
				if item.shape == null {
					r.problems.add(at, item.line, "is empty")
				}
				r.fill(v.Index(i), item, at)
			}
		}
	case reflect.String:
		if n.shape == scalar || r.want(text, n, path) {
			v.SetString(n.value)
		}
	case reflect.Int:
		i, err := strconv.Atoi(n.value)
		if n.shape != scalar || err != nil || i > 1<<31-1 || i < -1<<31 {
			r.problems.add(path, n.line, "must be a whole number")
			return
		}
		v.SetInt(int64(i))
	case reflect.Bool:
		if n.shape != scalar || (n.value != "true" && n.value != "false") {
			r.problems.add(path, n.line, "must be true or false")
			return
		}
		v.SetBool(n.value == "true")
	default:
		panic("spec: no reader for " + v.Type().String())
	}
}

func (r reader) want(s shape, n *node, path string) bool {
	if n.shape != s {
		r.problems.add(path, n.line, "must be %s, not %s", s, n.shape)
	}
	return n.shape == s
}

func (r reader) fields(v reflect.Value, n *node, path string) {
	seen := map[string]bool{}
	for i, key := range n.keys {
		name, item := key.value, n.items[i]
		at := clip(name)
		if path != "" {
			at = path + "." + at
		}
		if seen[name] {
			r.problems.add(at, key.line, "is given twice")
			continue
		}
		seen[name] = true
		field, ok := fieldByTag(v, name)
		switch {
		case ok:
			r.fill(field, item, at)
		case isAlias(v, name) != "":
			if target, _ := fieldByTag(v, isAlias(v, name)); target.IsZero() {
				r.fill(target, item, at)
			}
		default:
			if why := missing(v.Type(), name, item); why != "" {
				r.problems.add(at, key.line, "%s", why)
			}
		}
	}
}

func fieldByTag(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

// isAlias returns the field that an old name stands for.
func isAlias(v reflect.Value, name string) string {
	if _, ok := v.Interface().(events.HealthCheck); ok && name == "path" {
		return "http_path" // App Platform's name before http_path
	}
	return ""
}
