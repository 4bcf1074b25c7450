package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

type shape int

const (
	null   shape = iota
	scalar       // a number or a boolean, as it was written
	text
	list
	object
)

func (s shape) String() string {
	return [...]string{"nothing", "a number or a boolean", "text", "a list", "a group of fields"}[s]
}

// node is a piece of a document, whichever language it was written in. Numbers keep their spelling: "1.10" must not
// become 1.1 on its way to a tag.
type node struct {
	shape shape
	line  int
	value string  // of a scalar or text
	keys  []*node // of an object: text, beside items
	items []*node // of a list or an object
}

// empty reports whether the node says no more than its absence would.
func (n *node) empty() bool {
	switch n.shape {
	case null:
		return true
	case scalar:
		return n.value == "0" || n.value == "false"
	case text:
		return n.value == ""
	}
	for _, item := range n.items {
		if n.shape == list || !item.empty() {
			return false
		}
	}
	return true
}

// maxDepth is far more than a spec needs, and keeps a hostile document from filling the stack.
const maxDepth = 64

var errDeep = errors.New("it is nested deeper than 64 levels")

// readJSON reads one JSON document.
func readJSON(b []byte) (*node, error) {
	r := jsonReader{Decoder: json.NewDecoder(bytes.NewReader(b)), all: b}
	r.UseNumber()
	n, err := r.node(0)
	if err != nil {
		return nil, err
	}
	if _, err := r.Token(); err != io.EOF {
		return nil, fmt.Errorf("line %d: there is more after the end of the document", r.line())
	}
	return n, nil
}

type jsonReader struct {
	*json.Decoder
	all  []byte
	seen int // bytes whose lines are counted
	nl   int
}

func (r *jsonReader) line() int {
	at := min(int(r.InputOffset()), len(r.all))
	r.nl += bytes.Count(r.all[r.seen:at], []byte{'\n'})
	r.seen = at
	return r.nl + 1
}

func (r *jsonReader) node(depth int) (*node, error) {
	if depth > maxDepth {
		return nil, errDeep
	}
	tok, err := r.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("line %d: %w", r.line(), err)
	}
	n := &node{line: r.line()}
	switch v := tok.(type) {
	case nil:
	case bool:
		n.shape, n.value = scalar, fmt.Sprint(v)
	case json.Number:
		n.shape, n.value = scalar, v.String()
	case string:
		n.shape, n.value = text, v
	case json.Delim:
		n.shape = list
		if v == '{' {
			n.shape = object
		}
		for r.More() {
			if n.shape == object {
				key, err := r.node(depth + 1)
				if err != nil {
					return nil, err
				}
				n.keys = append(n.keys, key)
			}
			item, err := r.node(depth + 1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		if _, err := r.Token(); err != nil {
			return nil, fmt.Errorf("line %d: %w", r.line(), err)
		}
	}
	return n, nil
}
