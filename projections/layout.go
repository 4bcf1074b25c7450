package projections

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"

	"shiplog/events"
)

// The layout of the file. A bucket whose meaning changes gets a new version in its name; a file with other buckets than
// these is of another version of Shiplog and is built again.
//
//	meta.v1         "state" -> checkpoint, hash of the event there, hash of the stream's first event, seals of all tables (JSON)
//	events.v1       sequence -> the whole event (see codec.go)
//	timeline.v1     app, block number -> the sequences of 128 events of the app, 8 bytes each; the last block is shorter
//	heads.v1        subject -> sequence, hash and id of its last event
//	folds.v2        app -> the state folded up to some event at or before the checkpoint (JSON); the rest is replayed
//	deployments.v1  app, ordinal from 0 in the order of asking -> deployment (JSON)
//	deploymentids.v1 app, deployment -> ordinal
//	pushes.v1       app, ordinal from 0 -> sequence of PushReceived, sequence of PushJudged or 0
//	pushids.v1      app, push id -> ordinal of the newest push with that id
//	deliveries.v1   provider and delivery id, sequence of PushReceived -> nothing. Kept for ever
//	moments.v1      app, time, sequence -> what ran from then on (JSON)
//
// Integers in keys and values are big-endian, so that they sort; times in keys are Unix microseconds; ids are 16 bytes
// (see idKey). Every value ends with 4 bytes of checksum (see record.go).
const metaBucket = "meta.v1"

// stateKey is the only key of metaBucket.
var stateKey = []byte("state")

// table is a bucket of checksummed records.
type table uint8

const (
	eventsTable table = iota
	timelineTable
	headsTable
	foldsTable
	deploymentsTable
	deploymentIDsTable
	pushesTable
	pushIDsTable
	deliveriesTable
	momentsTable
	tables // how many there are
)

var bucketNames = [tables]string{
	"events.v1", "timeline.v1", "heads.v1", "folds.v2", "deployments.v1", "deploymentids.v1", "pushes.v1", "pushids.v1",
	"deliveries.v1", "moments.v1",
}

// tableOf finds a table by its bucket's name.
func tableOf(bucket string) (table, bool) {
	for t, name := range bucketNames {
		if name == bucket {
			return table(t), true
		}
	}
	return 0, false
}

// String is the bucket's name.
func (t table) String() string { return bucketNames[t] }

// idKey is an id as 16 bytes: those of a lower-case UUID, else the first of a hash of the text.
func idKey(id events.ID) []byte {
	s := string(id)
	if len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && strings.ToLower(s) == s {
		var digits [32]byte
		n := copy(digits[:], s[:8])
		n += copy(digits[n:], s[9:13])
		n += copy(digits[n:], s[14:18])
		n += copy(digits[n:], s[19:23])
		copy(digits[n:], s[24:])
		key := make([]byte, 16, 40)
		if _, err := hex.Decode(key, digits[:]); err == nil {
			return key
		}
	}
	return textKey(s)
}

// textKey is a hash of texts, told apart whatever they contain, as 16 bytes.
func textKey(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	sum := sha256.Sum256(b)
	return append(make([]byte, 0, 40), sum[:16]...)
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func appKey(app events.ID, n uint64) []byte { return binary.BigEndian.AppendUint64(idKey(app), n) }

// lastNumber is the number at the end of a key.
func lastNumber(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// timeNumber maps times to numbers that sort like them.
func timeNumber(t time.Time) uint64 { return uint64(t.UnixMicro()) ^ 1<<63 }
