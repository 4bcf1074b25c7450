package events

import (
	"fmt"
	"strings"
)

// Digest names an image manifest by content: "sha256:" and 64 lower-case hex digits. The zero value is "no digest".
type Digest string

// ParseDigest reads "sha256:<64 hex>". Other algorithms are refused: no registry in use serves them.
func ParseDigest(s string) (Digest, error) {
	hex, ok := strings.CutPrefix(s, "sha256:")
	if !ok || len(hex) != 64 || !isHex(hex) {
		return "", fmt.Errorf("%q is not an image digest (sha256: and 64 lower-case hex digits)", clip(s))
	}
	return Digest(s), nil
}

// Short returns the first 12 hex digits, for people.
func (d Digest) Short() string {
	hex := strings.TrimPrefix(string(d), "sha256:")
	return hex[:min(12, len(hex))]
}

func isHex(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
