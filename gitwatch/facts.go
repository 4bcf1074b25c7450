package gitwatch

import (
	"encoding/json"
	"strings"

	"shiplog/events"
)

// Limits of what a push may say, in bytes; events.MaxBytes bounds the whole event.
const (
	maxMessage   = 1024
	maxName      = 256
	maxPaths     = 100
	maxPath      = 1024
	maxPathBytes = 32 << 10 // of all paths, as JSON
)

// orderID is the identity of the command that records a push: the sender's id of the delivery and the change's index.
func orderID(p events.PushReceived) string { return p.Provider + ":" + p.PushID() }

// fit cuts a push's texts to what an event may hold. A path is kept whole or left out, for half a path is another file.
func fit(p *events.PushReceived) {
	p.Message = cut(p.Message, maxMessage)
	p.Author, p.Pusher = cut(p.Author, maxName), cut(p.Pusher, maxName)
	var kept []string
	room := maxPathBytes
	for _, path := range p.Paths {
		text, _ := json.Marshal(path)
		if len(path) > maxPath || len(kept) == maxPaths || len(text) > room {
			p.MorePaths = true
			continue
		}
		room -= len(text)
		kept = append(kept, path)
	}
	p.Paths = kept
}

// cut shortens text to at most n bytes of valid UTF-8.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
