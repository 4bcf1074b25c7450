package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// show writes an answer to stdout: as data with -o json, else as human writes it.
func (c *cli) show(cmd *cobra.Command, data any, human func(w io.Writer)) error {
	if c.output == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(data)
	}
	human(cmd.OutOrStdout())
	return nil
}

// say writes progress and hints to stderr. Programs that ask for JSON get them too: stderr is for people.
func say(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintln(cmd.ErrOrStderr(), clean(fmt.Sprintf(format, args...)))
}

// table writes rows under a heading in columns.
func table(w io.Writer, heading string, rows [][]string) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if heading != "" {
		fmt.Fprintln(tw, heading)
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cmp.Or(strings.ReplaceAll(clean(row[i]), "\t", " "), "-")
		}
		fmt.Fprintln(tw, strings.Join(row, "\t"))
	}
	_ = tw.Flush()
}

// clean makes text of a commit, a build or another machine safe for a terminal: control characters become visible.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// ago writes a moment relative to now, as people say it.
func (c *cli) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := c.now().Sub(t)
	switch {
	case d < -time.Second:
		return "in " + span(-d)
	case d < 2*time.Second:
		return "now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// took writes milliseconds.
func took(ms int64) string {
	if ms < 1000 {
		return fmt.Sprintf("%dms", ms)
	}
	return fmt.Sprintf("%.1fs", float64(ms)/1000)
}

// what names what components run: the short commit, or the digest where there is no commit.
func what(targets map[string]targetAnswer) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		t := targets[name]
		short := t.Digest.Short()
		if t.Commit != "" {
			short = t.Commit.Short()
		}
		if len(targets) > 1 {
			short = name + ":" + short
		}
		if !slices.Contains(parts, short) {
			parts = append(parts, short)
		}
	}
	return strings.Join(parts, " ")
}

func digests(targets map[string]targetAnswer) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(targets)) {
		if d := targets[name].Digest; d != "" {
			parts = append(parts, "sha256:"+d.Short())
		}
	}
	return strings.Join(parts, " ")
}

// quoted writes an argument so that a shell takes it as it is.
func quoted(arg string) string {
	if arg != "" && strings.Trim(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/:@-") == "" {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// terminal reports whether a stream is a person's terminal.
func terminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS) // /dev/null is a character device too, and nobody types there
	return err == nil
}

// color paints text on a terminal, unless NO_COLOR is set.
func (c *cli) color(w any, code, text string) string {
	if !terminal(w) || c.getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// The colours of outcomes.
const (
	green  = "32"
	red    = "31"
	yellow = "33"
)

// confirmed asks a person on a terminal. Elsewhere nobody can answer: unattended is what then counts.
func confirmed(cmd *cobra.Command, yes, unattended bool, question string) bool {
	if yes {
		return true
	}
	if !terminal(cmd.InOrStdin()) {
		return unattended
	}
	fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer) // no answer is no
	return strings.EqualFold(answer, "y") || strings.EqualFold(answer, "yes")
}

// cleanLine is clean for text that must stay on one line.
func cleanLine(s string) string {
	return strings.Join(strings.Fields(clean(s)), " ")
}
