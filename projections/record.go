package projections

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"
)

// errDamaged is what every doubt about the file is. The file is then built again from the log.
var errDamaged = errors.New("the projection file is damaged")

func damagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errDamaged, fmt.Errorf(format, args...))
}

const checksumSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seeds are the checksums of the buckets' names, where those of their records begin.
var seeds = func() (s [tables]uint32) {
	for t, name := range bucketNames {
		s[t] = crc32.Checksum([]byte(name), castagnoli)
	}
	return s
}()

// checksum covers the bucket, the key, where it ends, and the payload.
func checksum(seed uint32, key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(seed^uint32(len(key)), castagnoli, key), castagnoli, payload)
}

// sealed returns the value that stands in the file for a payload. It may use the payload's spare capacity.
func sealed(seed uint32, key, payload []byte) []byte {
	return binary.BigEndian.AppendUint32(payload, checksum(seed, key, payload))
}

// opened returns the payload of a value once its checksum is verified. It shares the value's memory.
func opened(name string, seed uint32, key, value []byte) ([]byte, error) {
	n := len(value) - checksumSize
	if n < 0 || binary.BigEndian.Uint32(value[n:]) != checksum(seed, key, value[:n]) {
		return nil, damagef("%s: the checksum of record %x does not fit", name, key[:min(len(key), 64)])
	}
	return value[:n:n], nil
}

// seal is what a table must hold: how many records, and the sum of their checksums.
type seal struct {
	Count uint64 `json:"count"`
	Sum   uint64 `json:"sum"`
}

func (s *seal) add(value []byte) {
	s.Count++
	s.Sum += uint64(binary.BigEndian.Uint32(value[len(value)-checksumSize:]))
}

func (s *seal) remove(value []byte) {
	s.Count--
	s.Sum -= uint64(binary.BigEndian.Uint32(value[len(value)-checksumSize:]))
}

// get returns a record's payload, which lives as long as the transaction, or nil when there is none.
func get(tx *bolt.Tx, t table, key []byte) ([]byte, error) {
	value := tx.Bucket([]byte(bucketNames[t])).Get(key)
	if value == nil {
		return nil, nil
	}
	return opened(bucketNames[t], seeds[t], key, value)
}

// must is get of a record that has to be there because another one names it.
func must(tx *bolt.Tx, t table, key []byte) ([]byte, error) {
	payload, err := get(tx, t, key)
	if err == nil && payload == nil {
		err = damagef("%s: record %x is missing", t, key)
	}
	return payload, err
}
