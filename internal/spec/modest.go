package spec

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// The parser recurses, and keeps with every value its whole path as text: a document of 256 KiB that nests deeply took
// it more than 16 GiB. So these limits are kept before it runs; a spec comes nowhere near them.
const (
	maxTokens = 30_000
	maxColumn = 128 // of a block's "-" or ":", which bounds both its depth and the length of its keys
	maxKey    = 64  // bytes of a key in brackets
	maxFlow   = 32  // brackets in brackets
)

// modest refuses a document that the parser could not take in a moderate amount of memory.
func modest(tokens token.Tokens) error {
	if len(tokens) > maxTokens {
		return fmt.Errorf("it has more than %d words", maxTokens)
	}
	flow := 0
	for i, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			if flow++; flow > maxFlow {
				return errDeep
			}
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
		case token.MappingValueType:
			if i > 0 && len(tokens[i-1].Value) > maxKey {
				return fmt.Errorf("line %d: a field's name is longer than %d bytes", t.Position.Line, maxKey)
			}
			if flow == 0 && t.Position.Column > maxColumn {
				return errDeep
			}
		case token.SequenceEntryType, token.MappingKeyType:
			if flow == 0 && t.Position.Column > maxColumn {
				return errDeep
			}
		case token.AnchorType, token.TagType:
			if i > 0 && tokens[i-1].Type == t.Type {
				return errors.New("an anchor or a tag follows another")
			}
		}
	}
	return nil
}
