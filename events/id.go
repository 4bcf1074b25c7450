package events

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"
)

// namespace is the UUID namespace of every name-based id Shiplog makes. It is part of the log's format.
const namespace = "5b0f6f1e-6a0e-5d43-9a55-9b7a4e1d6c11"

// ID is a UUID in its lower-case text form: an event, an app or a deployment.
type ID string

// ParseID reads a UUID of any version. It accepts only the 36-character form with hyphens, in either case.
func ParseID(s string) (ID, error) {
	if _, err := uuidBytes(strings.ToLower(s)); err != nil {
		return "", err
	}
	return ID(strings.ToLower(s)), nil
}

// NewID returns a random (version 4) UUID.
func NewID() ID {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: see crypto/rand
	return format(b, 4)
}

// NamedID returns the name-based (version 5, RFC 9562) UUID of the parts. The same parts give the same id for ever,
// and parts are told apart whatever they contain.
func NamedID(parts ...string) ID {
	ns, _ := uuidBytes(namespace)
	h := sha1.New()
	h.Write(ns[:])
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	var b [16]byte
	copy(b[:], h.Sum(nil))
	return format(b, 5)
}

func format(b [16]byte, version byte) ID {
	b[6] = b[6]&0x0f | version<<4
	b[8] = b[8]&0x3f | 0x80
	x := hex.EncodeToString(b[:])
	return ID(x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:])
}

func uuidBytes(s string) (b [16]byte, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return b, fmt.Errorf("%q is not a UUID", clip(s))
	}
	if _, err := hex.Decode(b[:], []byte(strings.ReplaceAll(s, "-", ""))); err != nil || strings.Count(s, "-") != 4 {
		return b, fmt.Errorf("%q is not a UUID", clip(s))
	}
	return b, nil
}

// clip shortens outside input for an error message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
