package spec

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// maxNodes bounds what aliases can blow a small document up to.
const maxNodes = 50_000

// readYAML reads one YAML document. Anchors and aliases work; merge keys ("<<") and tags ("!x") are refused.
func readYAML(b []byte) (n *node, err error) {
	defer func() {
		if p := recover(); p != nil { // the library has panicked on malformed text before
			n, err = nil, fmt.Errorf("it is not YAML that can be read: %s", clip(fmt.Sprint(p)))
		}
	}()
	tokens := lexer.Tokenize(string(b))
	if err := modest(tokens); err != nil {
		return nil, err
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var at yaml.Error
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			return nil, fmt.Errorf("line %d: %s", at.GetToken().Position.Line, discreet(at.GetMessage()))
		}
		return nil, errors.New("it is not YAML")
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if body != nil {
			return nil, fmt.Errorf("line %d: a second document begins; a spec is one", line(doc.Body))
		}
		body = doc.Body
	}
	if body == nil {
		return &node{line: 1}, nil
	}
	r := yamlReader{anchors: map[string]ast.Node{}}
	return r.node(body, 0)
}

var quoted = regexp.MustCompile(`"[^"]*"?`)

// discreet drops what the library quotes from the document (and its Error() adds whole lines): it may be a secret.
// A key that is given twice is named.
func discreet(message string) string {
	if strings.HasPrefix(message, "mapping key") {
		return message
	}
	return quoted.ReplaceAllString(message, "…")
}

type yamlReader struct {
	anchors map[string]ast.Node
	count   int
}

func (r *yamlReader) node(a ast.Node, depth int) (*node, error) {
	if r.count++; r.count > maxNodes {
		return nil, errors.New("it holds more than 50,000 values")
	}
	if depth > maxDepth {
		return nil, errDeep
	}
	n := &node{line: line(a)}
	switch v := a.(type) {
	case *ast.NullNode, nil:
	case *ast.IntegerNode:
		n.shape, n.value = scalar, v.Token.Value
	case *ast.FloatNode:
		n.shape, n.value = scalar, v.Token.Value
	case *ast.BoolNode:
		n.shape, n.value = scalar, v.Token.Value
	case *ast.InfinityNode:
		n.shape, n.value = text, v.Token.Value
	case *ast.NanNode:
		n.shape, n.value = text, v.Token.Value
	case *ast.StringNode:
		n.shape, n.value = text, v.Value
	case *ast.LiteralNode:
		n.shape, n.value = text, v.Value.Value
	case *ast.AnchorNode:
		item, err := r.node(v.Value, depth+1)
		if err != nil {
			return nil, err
		}
		r.anchors[v.Name.String()] = v.Value // after its value, so that it cannot hold itself
		return item, nil
	case *ast.AliasNode:
		target, ok := r.anchors[v.Value.String()]
		if !ok {
			return nil, fmt.Errorf("line %d: the alias *%s names no anchor before it", n.line, clip(v.Value.String()))
		}
		return r.node(target, depth+1)
	case *ast.SequenceNode:
		n.shape = list
		for _, item := range v.Values {
			child, err := r.node(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, child)
		}
	case *ast.MappingNode:
		n.shape = object
		return n, r.fields(n, v.Values, depth)
	case *ast.MappingValueNode:
		n.shape = object
		return n, r.fields(n, []*ast.MappingValueNode{v}, depth)
	default:
		return nil, fmt.Errorf("line %d: %s is not something a spec may use", n.line, strings.ToLower(a.Type().String()))
	}
	return n, nil
}

func (r *yamlReader) fields(n *node, pairs []*ast.MappingValueNode, depth int) error {
	for _, pair := range pairs {
		if pair.Key.IsMergeKey() {
			return fmt.Errorf("line %d: merge keys (<<) are not something a spec may use", line(pair.Key))
		}
		key, err := r.node(pair.Key, depth+1)
		if err != nil {
			return err
		}
		if key.shape != text && key.shape != scalar {
			return fmt.Errorf("line %d: a field's name must be text", key.line)
		}
		item, err := r.node(pair.Value, depth+1)
		if err != nil {
			return err
		}
		n.keys, n.items = append(n.keys, key), append(n.items, item)
	}
	return nil
}

func line(a ast.Node) int {
	if a == nil || a.GetToken() == nil || a.GetToken().Position == nil {
		return 0
	}
	return a.GetToken().Position.Line
}

// writeYAML writes a value by its json tags.
func writeYAML(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b, yaml.Indent(2), yaml.IndentSequence(false), yaml.UseLiteralStyleIfMultiline(true))
	err := enc.Encode(v)
	return b.Bytes(), errors.Join(err, enc.Close())
}
