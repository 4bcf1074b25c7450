package spec

import (
	"fmt"
	"regexp"
	"strings"

	"shiplog/events"
)

// bindable is App Platform's way to refer to another part of the app in a value.
var bindable = regexp.MustCompile(`\$\{(APP_DOMAIN|APP_URL|APP_ID|(_self|[a-z][a-z0-9-]*)\.[A-Za-z_][A-Za-z0-9_]*)\}`)

func (c *checker) envs(envs []events.Env, path string) {
	seen := map[string]bool{}
	for i := range envs {
		e := &envs[i]
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case e.Key == "":
			c.fault(at+".key", "is missing")
		case !keyPattern.MatchString(e.Key) || len(e.Key) > 200:
			c.fault(at+".key", "must be letters, digits and underscores and not begin with a digit, not %q", clip(e.Key))
		case seen[e.Key]:
			c.fault(at+".key", "%s is given twice", e.Key)
		}
		seen[e.Key] = true
		switch e.Scope {
		case "", "RUN_TIME", "BUILD_TIME", "RUN_AND_BUILD_TIME":
		case "UNSET":
			e.Scope = ""
		default:
			c.fault(at+".scope", "must be RUN_TIME, BUILD_TIME or RUN_AND_BUILD_TIME, not %q", clip(e.Scope))
		}
		switch e.Type {
		case "", "GENERAL":
		case "SECRET":
			if e.Value == "" {
				c.fault(at+".value", "is missing: %s is a SECRET", clip(e.Key))
			}
		default:
			c.fault(at+".type", "must be GENERAL or SECRET, not %q", clip(e.Type))
		}
		if strings.ContainsRune(e.Value, 0) {
			c.fault(at+".value", "must not hold a NUL character")
		}
		if m := bindable.FindStringSubmatch(e.Value); m != nil && c.bound(m) {
			c.fault(at+".value", "references to other parts of the app are not built yet: write the value out")
		}
	}
}

// bound reports whether a match of bindable is one that App Platform would fill in. Any other ${…} is the app's own.
func (c *checker) bound(m []string) bool {
	if m[2] == "" || m[2] == "_self" {
		return true
	}
	_, ok := c.spec.Component(m[2])
	return ok
}
