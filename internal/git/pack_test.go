package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// packOf makes a pack of raw entries.
func packOf(entries ...[]byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(len(entries)))
	for _, e := range entries {
		b = append(b, e...)
	}
	sum := sha1.Sum(b)
	return append(b, sum[:]...)
}

// packed is an entry of a pack: its type, the size it states, what comes between, and its content.
func packed(kind byte, size uint64, between, content []byte) []byte {
	first := kind<<4 | byte(size&15)
	var b []byte
	for size >>= 4; size > 0; size >>= 7 {
		b = append(b, first|0x80)
		first = byte(size & 127)
	}
	b = append(append(b, first), between...)
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(content)
	_ = w.Close()
	return append(b, z.Bytes()...)
}

// TestDeltaBomb: a delta of a few bytes that says that it grows to a terabyte.
func TestDeltaBomb(t *testing.T) {
	delta := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 1<<40)
	delta = append(delta, 0x90, 4)
	base := packed(3, 4, nil, []byte("base"))
	bomb := packed(6, uint64(len(delta)), []byte{byte(len(base))}, delta)
	for name, pack := range map[string][]byte{
		"delta":  packOf(base, bomb),
		"object": packOf(packed(3, 1<<40, nil, []byte("base"))),
	} {
		if err := measure(t.Context(), bytes.NewReader(pack), defaultLimits); !errors.Is(err, ErrTooBig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good := binary.AppendUvarint(binary.AppendUvarint(nil, 4), 4)
	good = append(good, 0x90, 4)
	if err := measure(t.Context(), bytes.NewReader(packOf(base, packed(6, uint64(len(good)), []byte{byte(len(base))}, good))), defaultLimits); err != nil {
		t.Errorf("a small delta: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("PACK"), packOf(base)[:20], []byte("<html>not a pack at all</html>")} {
		if err := measure(t.Context(), bytes.NewReader(bad), defaultLimits); err == nil {
			t.Errorf("%q was taken for a pack", bad)
		}
	}
}

func FuzzPack(f *testing.F) {
	base := packed(3, 4, nil, []byte("base"))
	f.Add(packOf(base))
	f.Add(packOf(base, packed(6, 4, []byte{byte(len(base))}, []byte{4, 4, 0x90, 4})))
	f.Fuzz(func(t *testing.T, pack []byte) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o755); err != nil {
			t.Fatal(err)
		}
		lim := defaultLimits
		lim.Object, lim.Objects = 1<<20, 1000
		s := &server{guard: &guard{}, budget: &budget{limits: lim}}
		if err := s.store(context.Background(), bytes.NewReader(pack), dir); err != nil {
			left, _ := os.ReadDir(filepath.Join(dir, "objects", "pack"))
			for _, e := range left {
				if strings.HasPrefix(e.Name(), "tmp_") {
					t.Errorf("%s is left", e.Name())
				}
			}
		}
	})
}
