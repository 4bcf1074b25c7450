package projections

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// inspect judges a file by reading all of it without bbolt, about a second for a gigabyte: the structure, every record's
// checksum, every table's seal. Any doubt is errDamaged. Visit, which may be nil, is shown every payload on the way.
func inspect(f io.ReaderAt, m meta, visit func(t table, key, payload []byte) error) (state, error) {
	var (
		got   [tables]seal
		found state
	)
	buckets, err := walk(f, m, func(bucket string, key, value []byte) error {
		if bucket == metaBucket {
			if !bytes.Equal(key, stateKey) {
				return damagef("%s: there is no record %q", bucket, key)
			}
			var err error
			found, err = decodeState(value)
			return err
		}
		t, ok := tableOf(bucket)
		if !ok {
			return damagef("it has a bucket %q, which this version of Shiplog does not know", bucket)
		}
		payload, err := opened(bucket, seeds[t], key, value)
		if err != nil {
			return err
		}
		got[t].add(value)
		if visit != nil {
			return visit(t, key, payload)
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	if want := slices.Sorted(slices.Values(append(bucketNames[:], metaBucket))); !slices.Equal(buckets, want) {
		return found, damagef("it has the buckets %v, not %v", buckets, want)
	}
	for t := range tables {
		if got[t] != found.Seals[t] {
			return found, damagef("%s holds %d records with sum %x, its seal says %d with %x",
				t, got[t].Count, got[t].Sum, found.Seals[t].Count, found.Seals[t].Sum)
		}
	}
	return found, nil
}

// inspectFile is inspect of a file that nobody writes to.
func inspectFile(f io.ReaderAt, size int64) (state, error) {
	m, err := readMeta(f, size)
	if err != nil {
		return state{}, fmt.Errorf("judge it: %w", err)
	}
	return inspect(f, m, nil)
}
