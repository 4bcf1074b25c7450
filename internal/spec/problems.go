package spec

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a spec. Its message never quotes the value of a variable.
type Problem struct {
	Path    string // "services[0].git.branch"; empty: the spec as a whole
	Line    int    // in the text, from 1; 0 where there was no text
	Message string
}

// String is the problem in one line.
func (p Problem) String() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path)
		if p.Line > 0 {
			fmt.Fprintf(&b, " (line %d)", p.Line)
		}
		b.WriteString(": ")
	} else if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	b.WriteString(p.Message)
	return b.String()
}

// Problems is everything that is wrong with a spec, in the spec's order. It is an error for people.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// add records a problem. The list stops growing at 50, which is more than anybody reads.
func (ps *Problems) add(path string, line int, format string, args ...any) {
	if len(*ps) < 50 {
		*ps = append(*ps, Problem{path, line, fmt.Sprintf(format, args...)})
	}
}

// err returns nil for an empty list: a nil Problems in an error is not a nil error.
func (ps Problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	return ps
}

// clip shortens outside text for a message.
func clip(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
