package projections

import (
	"encoding/json"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
)

// state is the checkpoint's record: how far the file is, of which stream, and what every table must hold there.
type state struct {
	At    events.Position `json:"at"`    // the last event projected; zero when there is none
	Hash  events.Hash     `json:"hash"`  // of the event at At
	First events.Hash     `json:"first"` // of the first event of the stream, which identifies it together with the epoch
	Seals [tables]seal    `json:"seals"`
}

var metaSeed = crc32.Checksum([]byte(metaBucket), castagnoli)

func decodeState(value []byte) (s state, err error) {
	payload, err := opened(metaBucket, metaSeed, stateKey, value)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		return s, damagef("its checkpoint cannot be read: %w", err)
	}
	return s, nil
}

func (s state) put(tx *bolt.Tx) error {
	payload, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return tx.Bucket([]byte(metaBucket)).Put(stateKey, sealed(metaSeed, stateKey, payload))
}
