// Package projections is the memory aid of Shiplog: it projects the events of a log into one BoltDB file and answers
// queries from it. It is the one home of bbolt.
//
// Nothing here is a source of truth. The file can be deleted at any time; on any doubt about it it is moved aside and
// built again from the log. What keeps that honest:
//
//   - All of a batch and the checkpoint are one transaction, and the checkpoint never goes backwards.
//   - Every record carries a checksum of its table, key and value, which every read verifies. Every table has a seal
//     (how many records, and the sum of their checksums) in the checkpoint's record, so that a record that is missing,
//     or a page that is older than its neighbours, is found too.
//   - bbolt itself trusts its file (one flipped bit can end the process inside it), so a file is first read and judged
//     without bbolt, see inspect.go; only a file found whole is given to it. Transactions run where a fault in the
//     memory map is an error.
//   - Transactions are not synced: a kill loses nothing, and what a power cut tears the judgement above finds at the
//     next start, which costs a rebuild. After ten quiet seconds, and at Close, the file is synced, so that a power
//     cut then costs nothing.
//   - The full bytes of every event are kept, so that the log and the projection can check and repair each other.
//     A file that is moved aside is kept for the same reason.
package projections
