package git

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing/format/idxfile"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

// errPack is a pack that breaks the rules of its format.
var errPack = errors.New("the server sent a damaged pack")

// store writes a pack below dir, measures what is in it and indexes it. go-git's own writer indexes while it reads, and
// so unpacks whatever an object says it grows to.
func (s *server) store(ctx context.Context, pack io.Reader, dir string) error {
	folder := filepath.Join(dir, "objects", "pack")
	f, err := os.CreateTemp(folder, "tmp_pack_")
	if err != nil {
		return err
	}
	defer f.Close()
	defer os.Remove(f.Name()) // it is gone when it got its name
	if _, err := io.Copy(f, pack); err != nil {
		return s.explain(err)
	}
	if err := measure(ctx, f, s.budget.limits); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	index := new(idxfile.Writer)
	parser, err := packfile.NewParser(packfile.NewScanner(slowable{ctx, f}), index)
	if err != nil {
		return err
	}
	sum, err := parser.Parse()
	if err != nil {
		return damaged(ctx, err)
	}
	base := filepath.Join(folder, "pack-"+sum.String())
	if err := writeIndex(index, base+".idx"); err != nil {
		return damaged(ctx, err)
	}
	return os.Rename(f.Name(), base+".pack")
}

func writeIndex(w *idxfile.Writer, name string) error {
	index, err := w.Index()
	if err != nil {
		return err
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = idxfile.NewEncoder(f).Encode(index)
	return errors.Join(err, f.Close())
}

// measure refuses a pack of too many objects, or with one that unpacks to too much: by its own header, or by the size that
// a delta says its result has.
func measure(ctx context.Context, f io.ReadSeeker, lim limits) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	scan := packfile.NewScanner(slowable{ctx, f})
	_, count, err := scan.Header()
	if err != nil {
		return damaged(ctx, err)
	}
	if count > lim.Objects {
		return fmt.Errorf("%w: the server sent %d objects at once, more than %d; let it send single commits (git config uploadpack.allowReachableSHA1InWant true)", ErrTooBig, count, lim.Objects)
	}
	for range count {
		header, err := scan.NextObjectHeader()
		if err != nil {
			return damaged(ctx, err)
		}
		grown := header.Length
		if grown <= lim.Object {
			var begin first
			if _, _, err := scan.NextObject(&begin); err != nil {
				return damaged(ctx, err)
			}
			if header.Type.IsDelta() {
				grown = begin.result()
			}
		}
		if grown < 0 || grown > lim.Object {
			return fmt.Errorf("%w: one of the files is larger than %s; keep large files out of git", ErrTooBig, size(lim.Object))
		}
	}
	return nil
}

// first keeps the beginning of what is written.
type first struct {
	buf [20]byte
	n   int
}

func (w *first) Write(p []byte) (int, error) {
	w.n += copy(w.buf[w.n:], p)
	return len(p), nil
}

// result is the size of a delta's result: the second of the two numbers it begins with. It is -1 when that cannot be read.
func (w *first) result() int64 {
	_, n := binary.Uvarint(w.buf[:w.n])
	if n <= 0 {
		return -1
	}
	size, n := binary.Uvarint(w.buf[n:w.n])
	if n <= 0 {
		return -1
	}
	return int64(size)
}

// slowable ends reading with the context, so that indexing does.
type slowable struct {
	ctx context.Context
	io.ReadSeeker
}

func (s slowable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.ReadSeeker.Read(p)
}

func damaged(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w: %s; try again, or run git fsck on the server", ErrUnreachable, errPack, oneLine(err))
}
