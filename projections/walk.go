package projections

import (
	"bytes"
	"io"
)

// walker reads a bbolt file page by page, without bbolt and without a memory map, and finds every page where it should
// be: reached once, or free, none lost. What it accepts cannot lead bbolt astray.
type walker struct {
	f     io.ReaderAt
	meta  meta
	seen  []uint64 // bitmap of pages
	visit func(bucket string, key, value []byte) error
}

// walk calls visit for every record of the file as of a meta page, bucket by bucket, keys ascending. Key and value are
// valid during the call only. It returns the names of all buckets.
func walk(f io.ReaderAt, m meta, visit func(bucket string, key, value []byte) error) (buckets []string, err error) {
	w := &walker{f: f, meta: m, seen: make([]uint64, m.pages/64+1), visit: visit}
	_, err = w.tree(m.root, 0, func(flags uint32, name, value []byte) error {
		if flags != bucketElement || len(value) < bucketHeader {
			return damagef("%q is not a bucket", name)
		}
		buckets = append(buckets, string(name))
		return w.bucket(string(name), value)
	})
	if err != nil {
		return nil, err
	}
	if err := w.freelist(); err != nil {
		return nil, err
	}
	for id := uint64(2); id < m.pages; id++ {
		if w.seen[id/64]&(1<<(id%64)) == 0 {
			return nil, damagef("page %d is lost", id)
		}
	}
	return buckets, nil
}

func (w *walker) bucket(name string, value []byte) error {
	records := func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return damagef("%s: record %x is not a record", name, key)
		}
		return w.visit(name, key, value)
	}
	root := le.Uint64(value)
	if root != 0 {
		_, err := w.tree(root, 0, records)
		return err
	}
	if len(value) < bucketHeader+pageHeader {
		return damagef("%s: its inline page is too short", name)
	}
	p, err := parsePage(0, value[bucketHeader:])
	if err == nil && p.flags != leafPage {
		err = damagef("%s: its inline page is not a leaf", name)
	}
	if err != nil {
		return err
	}
	return p.entries(func(flags uint32, key, value []byte, _ uint64) error { return records(flags, key, value) })
}

// span is the first and the last key of a subtree; nil when it is empty.
type span struct{ first, last []byte }

// tree visits the leaves under a page and returns their span. A branch must name each child by its first key, and
// children must follow each other.
func (w *walker) tree(id uint64, depth int, visit func(flags uint32, key, value []byte) error) (s span, err error) {
	if depth > maxDepth {
		return s, damagef("page %d lies %d deep", id, depth)
	}
	p, err := w.read(id)
	if err != nil {
		return s, err
	}
	switch p.flags {
	case leafPage:
		err = p.entries(func(flags uint32, key, value []byte, _ uint64) error {
			if s.first == nil {
				s.first = bytes.Clone(key)
			}
			s.last = append(s.last[:0], key...)
			return visit(flags, key, value)
		})
		return s, err
	case branchPage:
		if p.count == 0 {
			return s, damagef("branch page %d is empty", id)
		}
		err = p.entries(func(_ uint32, key, _ []byte, child uint64) error {
			below, err := w.tree(child, depth+1, visit)
			if err != nil {
				return err
			}
			if !bytes.Equal(below.first, key) || s.last != nil && bytes.Compare(s.last, key) >= 0 {
				return damagef("page %d is not what page %d says of it", child, id)
			}
			if s.first == nil {
				s.first = below.first
			}
			s.last = below.last
			return nil
		})
		return s, err
	}
	return s, damagef("page %d is neither a branch nor a leaf", id)
}

// read returns a page with its overflow, and marks it as seen.
func (w *walker) read(id uint64) (page, error) {
	if id < 2 || id >= w.meta.pages {
		return page{}, damagef("there is no page %d", id)
	}
	data := make([]byte, pageSize)
	if _, err := w.f.ReadAt(data, int64(id)*pageSize); err != nil {
		return page{}, damagef("page %d: %w", id, err)
	}
	more := uint64(le.Uint32(data[12:]))
	if id+more >= w.meta.pages {
		return page{}, damagef("page %d goes on after the end", id)
	}
	for i := id; i <= id+more; i++ {
		if err := w.mark(i); err != nil {
			return page{}, err
		}
	}
	if more > 0 {
		data = append(data, make([]byte, more*pageSize)...)
		if _, err := w.f.ReadAt(data[pageSize:], int64(id+1)*pageSize); err != nil {
			return page{}, damagef("page %d: %w", id, err)
		}
	}
	return parsePage(id, data)
}

func (w *walker) mark(id uint64) error {
	if id < 2 || id >= w.meta.pages || w.seen[id/64]&(1<<(id%64)) != 0 {
		return damagef("page %d is used twice, or does not exist", id)
	}
	w.seen[id/64] |= 1 << (id % 64)
	return nil
}

// freelist marks the pages that are free.
func (w *walker) freelist() error {
	p, err := w.read(w.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freePage {
		return damagef("page %d is not the list of free pages", p.id)
	}
	ids, n := p.data[pageHeader:], uint64(p.count)
	if n == 0xFFFF {
		n, ids = le.Uint64(ids), ids[8:]
	}
	if n > uint64(len(ids))/8 {
		return damagef("the list of free pages is longer than its page")
	}
	for i := range n {
		if err := w.mark(le.Uint64(ids[i*8:])); err != nil {
			return err
		}
	}
	return nil
}
