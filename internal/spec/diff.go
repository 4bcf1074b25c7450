package spec

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"shiplog/events"
)

// Change is one difference between two specs.
type Change struct {
	Path string `json:"path"`           // "services[web].git.branch": components, variables and routes go by name
	From string `json:"from,omitempty"` // empty: it was not there
	To   string `json:"to,omitempty"`   // empty: it is gone
}

// Diff returns what differs from a to b, sorted by path. The order of components, variables and routes does not count.
// Secrets stay sealed, and one that is not sealed yet is not shown.
func Diff(a, b events.Spec) []Change {
	from, to := flat(a), flat(b)
	var changes []Change
	for path, was := range from {
		if is := to[path]; is != was {
			changes = append(changes, Change{path, was, is})
		}
	}
	for path, is := range to {
		if _, had := from[path]; !had {
			changes = append(changes, Change{path, "", is})
		}
	}
	slices.SortFunc(changes, func(x, y Change) int { return strings.Compare(x.Path, y.Path) })
	return changes
}

// flat returns every leaf of a spec by its path.
func flat(s events.Spec) map[string]string {
	var tree any
	if err := json.Unmarshal(encode(s), &tree); err != nil {
		panic(err) // it was encoded a line above
	}
	leaves := map[string]string{}
	walk(tree, "", leaves)
	return leaves
}

func walk(v any, path string, leaves map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if value, ok := v["value"].(string); ok && v["type"] == "SECRET" && !strings.HasPrefix(value, "EV[") {
			v["value"] = "(secret)"
		}
		for key, item := range v {
			at := key
			if path != "" {
				at = path + "." + key
			}
			walk(item, at, leaves)
		}
	case []any:
		for i, item := range v {
			walk(item, fmt.Sprintf("%s[%s]", path, label(item, i)), leaves)
		}
	default:
		leaves[path] = fmt.Sprint(v)
	}
}

// label names an item of a list by what tells it from the others.
func label(item any, i int) string {
	fields, ok := item.(map[string]any)
	if !ok {
		return fmt.Sprint(i)
	}
	for _, key := range []string{"name", "key", "path"} {
		if name, ok := fields[key].(string); ok {
			return name
		}
	}
	return fmt.Sprint(i)
}
