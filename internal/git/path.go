package git

import (
	"fmt"
	"strings"
)

// ignorable are the characters that HFS+ does not see in a file name.
var ignorable = strings.NewReplacer("\u200c", "", "\u200d", "", "\u200e", "", "\u200f", "", "\u202a", "", "\u202b", "",
	"\u202c", "", "\u202d", "", "\u202e", "", "\u206a", "", "\u206b", "", "\u206c", "", "\u206d", "", "\u206e", "",
	"\u206f", "", "\ufeff", "")

// checkName refuses a tree entry that is not one name, or that some file system takes for .git.
func checkName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("%w: the commit holds a file called %q, %s; remove it from the repository", ErrRefused, clip(name), why)
	}
	switch {
	case name == "", name == ".", name == "..":
		return bad("which is no name")
	case strings.ContainsAny(name, "/\x00"):
		return bad("which is a path")
	case len(name) > 255:
		return bad("which is longer than 255 bytes")
	case isDotGit(name):
		return bad("which git and other programs take for a repository's own folder")
	}
	return nil
}

// isDotGit follows git's own check (is_ntfs_dotgit, is_hfs_dotgit): case, NTFS's short name, streams, and the trailing dots
// and blanks that Windows drops, and characters that HFS+ does not see.
func isDotGit(name string) bool {
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, `\`)
	name = strings.ToLower(strings.TrimRight(ignorable.Replace(name), " ."))
	return name == ".git" || name == "git~1"
}

func clip(s string) string {
	if len(s) > 120 {
		return strings.ToValidUTF8(s[:120], "") + "…"
	}
	return s
}
