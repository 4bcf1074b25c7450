package git

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxWords is how long a line to the person who pushed may be, in bytes.
const maxWords = 900

// report rewrites git's answer to a push: words are added as lines from the remote, and when recording it failed every
// ref that git accepted is reported as refused, for that reason. An answer without side band has no room for words.
func report(body []byte, words string, failed error) ([]byte, error) {
	if len(body) == 0 && failed == nil {
		return body, nil // with an empty request git asks whether it may push at all
	}
	packets, err := splitPackets(body)
	if err != nil {
		return nil, err
	}
	if len(packets) > 0 && packets[0] != "" && packets[0][0] > 3 { // the report itself
		return joinPackets(refuseRefs(packets, failed)), nil
	}
	var progress, status strings.Builder
	flushed := false
	for _, p := range packets {
		switch {
		case p == "":
			flushed = true
		case p[0] == 1:
			status.WriteString(p[1:])
		default:
			progress.Write(joinPackets([]string{p}))
		}
	}
	if !flushed {
		return nil, errors.New("it does not end")
	}
	inner, err := splitPackets([]byte(status.String()))
	if err != nil {
		return nil, err
	}
	out := []byte(progress.String())
	status.Reset()
	status.Write(joinPackets(refuseRefs(inner, failed)))
	for rest := status.String(); rest != ""; {
		n := min(len(rest), 60_000)
		out = append(out, joinPackets([]string{"\x01" + rest[:n]})...)
		rest = rest[n:]
	}
	for line := range strings.Lines(words) {
		if line = oneLine(errors.New(strings.TrimSpace(line[:min(len(line), maxWords)]))); line != "" {
			out = append(out, joinPackets([]string{"\x02" + line + "\n"})...)
		}
	}
	return append(out, "0000"...), nil
}

// refuseRefs turns "ok REF" into "ng REF why" when recording failed.
func refuseRefs(packets []string, failed error) []string {
	if failed == nil {
		return packets
	}
	var out []string
	for _, p := range packets {
		switch {
		case strings.HasPrefix(p, "option "):
			continue // about an accepted ref
		case strings.HasPrefix(p, "ok "):
			ref := strings.TrimSuffix(strings.TrimPrefix(p, "ok "), "\n")
			p = "ng " + ref + " stored, but not recorded (" + oneLine(failed) + "); push again\n"
		}
		out = append(out, p)
	}
	return out
}

// splitPackets splits pkt-lines; a flush is the empty string.
func splitPackets(b []byte) ([]string, error) {
	var out []string
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, errors.New("it ends in the middle of a packet")
		}
		n, err := strconv.ParseUint(string(b[:4]), 16, 16)
		switch {
		case err != nil || n > uint64(len(b)) || n > 0 && n < 4:
			return nil, fmt.Errorf("%q is not the length of a packet", b[:4])
		case n == 0:
			out, b = append(out, ""), b[4:]
		case n == 4: // an empty packet says nothing
			b = b[4:]
		default:
			out, b = append(out, string(b[4:n])), b[n:]
		}
	}
	return out, nil
}

// joinPackets is the inverse of splitPackets.
func joinPackets(packets []string) []byte {
	var out []byte
	for _, p := range packets {
		if p == "" {
			out = append(out, "0000"...)
			continue
		}
		out = append(out, fmt.Sprintf("%04x", len(p)+4)...)
		out = append(out, p...)
	}
	return out
}
