package git

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"shiplog/events"
)

// Source says where a commit is fetched from.
type Source struct {
	URL   string         // clone URL; https, http, ssh or git. Ignored when Local is set
	Local string         // path of a bare repository on this machine: one of the built-in remote's
	Allow []netip.Prefix // private networks that URL may resolve to; everything not public is refused otherwise
	User  string         // for HTTPS
	Token string         // for HTTPS; never sent to another host
}

// Tree is a checked-out commit.
type Tree struct {
	Hash    string    // git tree id of the commit
	Time    time.Time // committer time
	Message string
}

// Errors of this package, matched with errors.Is.
var (
	ErrNoRef       = errors.New("no such ref")           // the server answered: it is not there
	ErrUnreachable = errors.New("cannot be reached")     // try again later
	ErrRefused     = errors.New("not an allowed source") // the address or the scheme is not allowed
	ErrTooBig      = errors.New("too big")               // over a limit of size or count
)

// Checkout writes the files of rev's commit into dir, which must exist and be empty; there is no .git in it.
// It fetches depth 1 of the exact commit and, where the server refuses that, the branch. Errors wrap the ones above.
func Checkout(ctx context.Context, src Source, rev events.Revision, dir string) (Tree, error) {
	return Tree{}, errors.New("being written")
}
