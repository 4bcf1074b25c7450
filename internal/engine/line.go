package engine

import (
	"bytes"
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine is where long lines are broken.
const maxLine = 64 << 10

// errStop means that the reader wants no more lines.
var errStop = errors.New("stop")

// lineWriter splits one output stream of a container, as the Docker API sends it with timestamps, into lines.
type lineWriter struct {
	emit func(at time.Time, text string) bool // false: stop
	buf  []byte
	at   time.Time // of the line begun
	cut  bool      // buf is the rest of a line that was broken: it has no timestamp
}

func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.buf = append(w.buf, p...)
			break
		}
		w.buf = append(w.buf, p[:end]...)
		p = p[end+1:]
		if err := w.line(); err != nil {
			return 0, err
		}
	}
	if len(w.buf) > maxLine+64 { // 64: a timestamp
		if err := w.part(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// flush ends the last line, if it had no line break.
func (w *lineWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	return w.line()
}

// line emits what is in the buffer, broken if it is too long.
func (w *lineWriter) line() error {
	for len(w.buf) > maxLine+64 {
		if err := w.part(); err != nil {
			return err
		}
	}
	text := w.stamp()
	w.buf, w.cut = w.buf[:0], false
	return w.say(text)
}

// part emits the first maxLine bytes of a long line.
func (w *lineWriter) part() error {
	text := w.stamp()
	cut := min(maxLine, len(text))
	for cut > maxLine-utf8.UTFMax && cut < len(text) && !utf8.RuneStart(text[cut]) {
		cut--
	}
	rest := append([]byte(nil), text[cut:]...)
	err := w.say(text[:cut])
	w.buf, w.cut = rest, true
	return err
}

// stamp takes the timestamp off the buffer.
func (w *lineWriter) stamp() []byte {
	if w.cut {
		return w.buf
	}
	head, rest, ok := bytes.Cut(w.buf, []byte(" "))
	if !ok {
		head, rest = w.buf, nil // an empty line: some engines leave the space out too
	}
	at, err := time.Parse(time.RFC3339Nano, string(head))
	if err != nil {
		return w.buf // no timestamp after all: the time of the line before is the best guess
	}
	w.at = at
	return rest
}

func (w *lineWriter) say(text []byte) error {
	if !w.emit(w.at, strings.TrimSuffix(strings.ToValidUTF8(string(text), "�"), "\r")) {
		return errStop
	}
	return nil
}

// lastBytes returns the end of text, of at most n bytes, beginning at a line.
func lastBytes(text []byte, n int) string {
	if len(text) > n {
		text = text[len(text)-n:]
		if _, rest, ok := bytes.Cut(text, []byte("\n")); ok {
			text = rest
		}
	}
	return strings.ToValidUTF8(string(text), "�")
}
