package git

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"

	"shiplog/events"
)

// try is one way to get at a commit.
type try struct {
	wants []plumbing.Hash
	depth int  // 0: all of the history
	bare  bool // commits only, where the server can leave out their files
}

// firstDepth is how many commits of a branch are fetched where the server does not send exactly one, before all are.
const firstDepth = 50

// fetch gets a commit and its files into a new repository in dir: the exact commit where the server sends that, else the
// ref's newest commits, else the history of every branch and tag.
func fetch(ctx context.Context, src Source, rev events.Revision, dir string, b *budget) (*repository, error) {
	return fetchWith(ctx, src, rev, dir, b, false)
}

func fetchWith(ctx context.Context, src Source, rev events.Revision, dir string, b *budget, bare bool) (*repository, error) {
	if len(rev.Commit) != 40 {
		return nil, fmt.Errorf("%w: %s is a SHA-256 commit, and only SHA-1 repositories can be fetched so far", ErrNoRef, rev.Commit.Short())
	}
	if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o700); err != nil {
		return nil, err
	}
	s, err := connect(ctx, src, b)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	commit := plumbing.NewHash(string(rev.Commit))
	var last error
	for i, t := range s.plan(commit, rev.Ref) {
		if i > 0 { // a git:// connection serves one request
			_ = s.Close()
			if s, err = connect(ctx, src, b); err != nil {
				return nil, err
			}
		}
		t.bare = bare
		if last = s.fetch(ctx, t, dir); last != nil && final(ctx, last) {
			return nil, last
		}
		r := openRepository(dir, Redact(src.URL))
		if r.has(commit) {
			return r, nil
		}
		_ = r.Close()
	}
	if last != nil && !errors.Is(last, ErrNoRef) {
		return nil, last
	}
	where := "any branch or tag"
	if rev.Ref != "" {
		where = rev.Ref.Short() + " or any other branch"
	}
	return nil, fmt.Errorf("%w: commit %s is not in the history of %s; it may have been force-pushed away: push it again, or choose another", ErrNoRef, rev.Commit, where)
}

// final reports whether trying another way is of no use.
func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrTooBig) || errors.Is(err, ErrRefused) || errors.Is(err, ErrDenied)
}

// plan lists the ways to get at a commit, cheapest first.
func (s *server) plan(commit plumbing.Hash, ref events.RefName) []try {
	var tries []try
	if tip, ok := s.tip(commit); ok {
		return []try{{wants: []plumbing.Hash{tip}, depth: 1}}
	}
	caps := s.refs.Capabilities
	if caps.Supports(capability.AllowReachableSHA1InWant) || caps.Supports(capability.AllowTipSHA1InWant) {
		tries = append(tries, try{wants: []plumbing.Hash{commit}, depth: 1})
	}
	if tip, ok := s.refs.References[string(ref)]; ok {
		tries = append(tries, try{wants: []plumbing.Hash{tip}, depth: firstDepth})
	}
	var all []plumbing.Hash
	for name, hash := range s.refs.References {
		if strings.HasPrefix(name, "refs/heads/") || strings.HasPrefix(name, "refs/tags/") {
			all = append(all, hash)
		}
	}
	slices.SortFunc(all, func(a, b plumbing.Hash) int { return slices.Compare(a[:], b[:]) })
	if all = slices.Compact(all); len(all) > 0 {
		tries = append(tries, try{wants: all})
	}
	return tries
}

// tip finds a ref that is at the commit, and returns the object that it names: an annotated tag's own, which servers send
// where they refuse the commit it points to.
func (s *server) tip(commit plumbing.Hash) (plumbing.Hash, bool) {
	for _, hash := range s.refs.References {
		if hash == commit {
			return hash, true
		}
	}
	for name, hash := range s.refs.Peeled {
		if hash == commit {
			return s.refs.References[name], true
		}
	}
	return plumbing.ZeroHash, false
}

// fetch asks for objects and stores them below dir.
func (s *server) fetch(ctx context.Context, t try, dir string) error {
	req := packp.NewUploadPackRequestFromCapabilities(s.refs.Capabilities)
	req.Wants = t.wants
	if t.depth > 0 && s.refs.Capabilities.Supports(capability.Shallow) {
		req.Depth = packp.DepthCommits(t.depth)
		_ = req.Capabilities.Set(capability.Shallow)
	}
	if t.bare && s.refs.Capabilities.Supports(capability.Filter) {
		req.Filter = packp.FilterTreeDepth(0)
		_ = req.Capabilities.Set(capability.Filter)
	}
	if s.refs.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	res, err := s.UploadPack(ctx, req)
	switch {
	case errors.Is(err, transport.ErrEmptyUploadPackRequest), err != nil && strings.Contains(err.Error(), "not our ref"):
		return fmt.Errorf("%w: the server does not send it", ErrNoRef)
	case err != nil:
		return s.explain(err)
	}
	defer res.Close()
	var pack io.Reader = res
	switch {
	case req.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, res)
	case req.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, res)
	}
	return s.store(ctx, pack, dir)
}
