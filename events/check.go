package events

import "fmt"

// CheckAfter reports whether reading can go on after a position in a log that ends at last. A position of another epoch
// is of another log and gives [ErrConflict]; one beyond the end means that the log lost events and gives [ErrCorrupt].
// The zero position is before everything in every log.
func CheckAfter(after, last Position) error {
	switch {
	case after == Position{}:
		return nil
	case after.Epoch != last.Epoch:
		return fmt.Errorf("%w: position %s is of another log, this one is in epoch %d: read it from the start",
			ErrConflict, after, last.Epoch)
	case after.Sequence > last.Sequence:
		return fmt.Errorf("%w: it was read up to %s before, and now ends at %s: restore it, or repair it into a new epoch",
			ErrCorrupt, after, last)
	}
	return nil
}
