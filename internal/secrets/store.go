package secrets

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"filippo.io/age"

	"shiplog/internal/durable"
)

// Version names what is stored under an owner and a name: 32 hex digits, random. It says nothing about the value.
type Version string

// MaxBytes is the longest value that is kept: 64 KiB.
const MaxBytes = 64 << 10

// ErrNotFound means that no such version is stored here.
var ErrNotFound = errors.New("there is no such secret")

// Store is a directory of secrets. It is safe for concurrent use within one process; one process uses a directory.
type Store struct {
	dir      string
	identity *age.X25519Identity
	seal     []byte // key of the references' proof
	put      sync.Mutex
}

// Open opens the store in dir, with its key in keyDir, and makes both at the first start. It refuses to make a key for a
// directory that holds secrets already: they could not be read with it.
func Open(dir, keyDir string) (*Store, error) {
	for _, d := range []string{dir, keyDir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("open secrets: %w", err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	identity, err := loadIdentity(filepath.Join(keyDir, "secrets.key"), len(entries) == 0)
	if err != nil {
		return nil, fmt.Errorf("open secrets in %s: %w", dir, err)
	}
	seal, err := hkdf.Key(sha256.New, []byte(identity.String()), nil, "shiplog secret reference v1", 32)
	if err != nil {
		return nil, fmt.Errorf("open secrets: %w", err)
	}
	return &Store{dir: dir, identity: identity, seal: seal}, nil
}

// Put stores a value and returns its version. When it returns, the value survives a power cut. A value that is stored
// under the owner and name already keeps its version, so that a spec does not change for nothing. Errors never hold
// the value.
func (s *Store) Put(owner, name string, value []byte) (Version, error) {
	if len(value) > MaxBytes {
		return "", fmt.Errorf("store secret %s of %s: it is longer than %d bytes", name, owner, MaxBytes)
	}
	dir, err := s.place(owner, name)
	if err != nil {
		return "", err
	}
	s.put.Lock()
	defer s.put.Unlock()
	if v, ok := s.same(dir, owner, name, value); ok {
		return v, nil
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails: see crypto/rand
	v := Version(hex.EncodeToString(id[:]))
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, s.identity.Recipient())
	if err == nil {
		_, err = w.Write(append(header(owner, name, v), value...))
		err = errors.Join(err, w.Close())
	}
	if err == nil {
		err = mkdirSynced(s.dir, dir)
	}
	if err == nil {
		err = durable.Write(filepath.Join(dir, string(v)+".age"), sealed.Bytes())
	}
	if err != nil {
		return "", fmt.Errorf("store secret %s of %s: %w", name, owner, err)
	}
	return v, nil
}

// Get returns a value. [ErrNotFound] means it is not here; any other error means it is and cannot be read: its file or
// the key was changed.
func (s *Store) Get(owner, name string, v Version) ([]byte, error) {
	dir, err := s.place(owner, name)
	if err != nil {
		return nil, err
	}
	value, err := s.read(dir, owner, name, v)
	if err != nil {
		return nil, fmt.Errorf("read secret %s of %s: %w", name, owner, err)
	}
	return value, nil
}

// same finds the version that holds a value already. A file that cannot be read is passed over: it must not keep
// anybody from setting a new value.
func (s *Store) same(dir, owner, name string, value []byte) (Version, bool) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		v, ok := strings.CutSuffix(e.Name(), ".age")
		if !ok {
			continue
		}
		if held, err := s.read(dir, owner, name, Version(v)); err == nil && subtle.ConstantTimeCompare(held, value) == 1 {
			return Version(v), true
		}
	}
	return "", false
}

func (s *Store) read(dir, owner, name string, v Version) ([]byte, error) {
	if !v.valid() {
		return nil, ErrNotFound
	}
	sealed, err := os.ReadFile(filepath.Join(dir, string(v)+".age"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(sealed), s.identity)
	if err != nil {
		return nil, fmt.Errorf("version %s was changed, or stored with another key: %w", v, err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(r); err != nil {
		return nil, fmt.Errorf("version %s was changed: %w", v, err)
	}
	value, ok := bytes.CutPrefix(plain.Bytes(), header(owner, name, v))
	if !ok {
		return nil, fmt.Errorf("version %s is the file of another secret", v)
	}
	return value, nil
}

// header stands before the value inside the encryption.
func header(owner, name string, v Version) []byte {
	return fmt.Appendf(nil, "shiplog secret 1\n%q %q %s\n", owner, name, v)
}

// place returns the directory of an owner's name.
func (s *Store) place(owner, name string) (string, error) {
	o, n := escape(owner), escape(name)
	if owner == "" || name == "" || len(o) > 200 || len(n) > 240 {
		return "", errors.New("a secret's owner and name must be 1 to about 200 bytes")
	}
	return filepath.Join(s.dir, o, n), nil
}

func (v Version) valid() bool {
	b, err := hex.DecodeString(string(v))
	return err == nil && len(b) == 16 && strings.ToLower(string(v)) == string(v)
}

// escape makes a file name of any text; different texts give different names, none of which begins with a dot.
func escape(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// unescape is the inverse of escape, for names that escape made.
func unescape(s string) string {
	out, err := url.PathUnescape(s)
	if err != nil {
		return s // not made by escape; nothing is found under it
	}
	return out
}
