package git

import (
	"bytes"
	"errors"
	"testing"
)

func FuzzReport(f *testing.F) {
	f.Add([]byte("0030\x01000eunpack ok\n0019ok refs/heads/main\n00000000"), true)
	f.Add([]byte("000eunpack ok\n0019ok refs/heads/main\n0000"), true)
	f.Add([]byte("0000"), false)
	f.Fuzz(func(t *testing.T, body []byte, fails bool) {
		var failed error
		if fails {
			failed = errors.New("no")
		}
		out, err := report(body, "words", failed)
		if err != nil {
			return
		}
		if _, err := splitPackets(out); err != nil {
			t.Errorf("%q became %q, which is not packets: %v", body, out, err)
		}
		if fails && bytes.Contains(out, []byte("\nok refs/")) && !bytes.Contains(body, []byte("\nok refs/")) {
			t.Errorf("%q became %q", body, out)
		}
	})
}
