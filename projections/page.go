package projections

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"io"
)

// What a bbolt file looks like (its format version 2), as far as it has to be known to judge one without bbolt.
// All of it is in the byte order of the machine; we run on little-endian ones only.
const (
	pageSize      = 4096 // of every file we make, whatever the machine's
	pageHeader    = 16   // id uint64, flags uint16, count uint16, overflow uint32
	element       = 16   // leaf: flags, pos, ksize, vsize uint32; branch: pos, ksize uint32, page uint64
	bucketHeader  = 16   // root page uint64 (0: the page follows inline), sequence uint64
	branchPage    = 0x01
	leafPage      = 0x02
	freePage      = 0x10
	bucketElement = 0x01
	boltMagic     = 0xED0CDAED
	boltVersion   = 2
	metaSize      = 56 // without its checksum, which follows it
	maxDepth      = 32
)

var le = binary.LittleEndian

// meta is the part of a meta page that matters.
type meta struct {
	root, freelist, pages, txid uint64
}

// readMeta returns the meta page that bbolt would choose: the newer one of those that are whole.
func readMeta(f io.ReaderAt, size int64) (meta, error) {
	var best meta
	for i := range int64(2) {
		var p [pageHeader + metaSize + 8]byte
		if _, err := f.ReadAt(p[:], i*pageSize); err != nil {
			continue
		}
		m := p[pageHeader:]
		h := fnv.New64a()
		h.Write(m[:metaSize])
		if le.Uint32(m) != boltMagic || le.Uint32(m[4:]) != boltVersion || le.Uint32(m[8:]) != pageSize ||
			le.Uint64(m[metaSize:]) != h.Sum64() {
			continue
		}
		if txid := le.Uint64(m[48:]); best.pages == 0 || txid > best.txid {
			best = meta{root: le.Uint64(m[16:]), freelist: le.Uint64(m[32:]), pages: le.Uint64(m[40:]), txid: txid}
		}
	}
	if best.pages == 0 {
		return best, damagef("neither of its two meta pages is whole")
	}
	if best.pages > uint64(size)/pageSize {
		return best, damagef("it ends after %d bytes, but has %d pages", size, best.pages)
	}
	return best, nil
}

// page is one page with its overflow, or one that stands inline in a bucket's value.
type page struct {
	id    uint64
	flags uint16
	count int
	data  []byte // header included
}

func parsePage(id uint64, data []byte) (page, error) {
	p := page{id: le.Uint64(data), flags: le.Uint16(data[8:]), count: int(le.Uint16(data[10:])), data: data}
	if p.id != id {
		return p, damagef("page %d says that it is page %d", id, p.id)
	}
	return p, nil
}

// entries calls f for every element of a leaf or branch page in order. The data of elements must follow each other
// without a gap, right after the last element, as bbolt writes them: so no change of a length or a count goes unseen.
func (p page) entries(f func(flags uint32, key, value []byte, child uint64) error) error {
	next, last := pageHeader+p.count*element, []byte(nil)
	if next > len(p.data) {
		return damagef("page %d has %d elements in %d bytes", p.id, p.count, len(p.data))
	}
	for i := range p.count {
		at := pageHeader + i*element
		var flags, pos, ksize, vsize uint32
		var child uint64
		if e := p.data[at:]; p.flags == leafPage {
			flags, pos, ksize, vsize = le.Uint32(e), le.Uint32(e[4:]), le.Uint32(e[8:]), le.Uint32(e[12:])
		} else {
			pos, ksize, child = le.Uint32(e), le.Uint32(e[4:]), le.Uint64(e[8:])
		}
		start, end := at+int(pos), at+int(pos)+int(ksize)+int(vsize)
		if start != next || ksize == 0 || end > len(p.data) {
			return damagef("page %d: element %d is not where it should be", p.id, i)
		}
		key := p.data[start : start+int(ksize)]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return damagef("page %d: element %d is out of order", p.id, i)
		}
		if err := f(flags, key, p.data[start+int(ksize):end], child); err != nil {
			return err
		}
		next, last = end, key
	}
	return nil
}
