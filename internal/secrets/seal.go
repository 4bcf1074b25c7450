package secrets

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"shiplog/events"
)

// A reference stands in a spec for a value: EV[1:<version>:<proof>]. The proof ties the version to its owner, so that a
// version read in one app's spec is worth nothing in another's.

// Refused is a variable whose value cannot be sealed or opened. Its message names the variable, never the value.
type Refused struct {
	Path string // "services[0].envs[2].value"
	Key  string
	Why  string
}

// Error says which variable and why.
func (r *Refused) Error() string { return fmt.Sprintf("%s: %s %s", r.Path, r.Key, r.Why) }

// Seal returns the spec with every plain SECRET value stored and replaced by a reference. A reference of this owner stays
// as it is, wherever in the spec it stands; any other, and a reference in a variable that is not SECRET, is a *[Refused].
// The argument is not changed. Values are stored under "env/KEY" and "env/COMPONENT/KEY".
//
// A reference is longer than many a value: check the spec's size again afterwards (spec.Check accepts sealed specs).
func (s *Store) Seal(owner string, spec events.Spec) (events.Spec, error) {
	var err error
	seal := func(envs []events.Env, path, prefix string) []events.Env {
		out := append([]events.Env(nil), envs...)
		for i, e := range out {
			if err == nil {
				out[i].Value, err = s.sealed(owner, e, fmt.Sprintf("%s[%d].value", path, i), prefix+e.Key)
			}
		}
		return out
	}
	components := func(cs []events.Component, path string) []events.Component {
		out := append([]events.Component(nil), cs...)
		for i, c := range out {
			out[i].Envs = seal(c.Envs, fmt.Sprintf("%s[%d].envs", path, i), "env/"+c.Name+"/")
		}
		return out
	}
	spec.Envs = seal(spec.Envs, "envs", "env/")
	spec.Services = components(spec.Services, "services")
	spec.Workers = components(spec.Workers, "workers")
	if err != nil {
		return events.Spec{}, err
	}
	return spec, nil
}

func (s *Store) sealed(owner string, e events.Env, path, name string) (string, error) {
	refused := func(why string) (string, error) { return "", &Refused{path, e.Key, why} }
	switch {
	case e.Type != "SECRET" && IsReference(e.Value):
		return refused("holds a sealed value: give it type SECRET")
	case e.Type != "SECRET":
		return e.Value, nil
	case e.Value == "":
		return refused("is a SECRET without a value")
	case IsReference(e.Value):
		v, ok := s.open(owner, e.Value)
		if !ok {
			return refused("holds a sealed value that is not this app's: give the value itself")
		}
		if _, err := s.find(owner, v); err != nil {
			return refused("refers to a value that is not stored here any more: give the value itself")
		}
		return e.Value, nil
	}
	v, err := s.Put(owner, name, []byte(e.Value))
	if err != nil {
		return "", err
	}
	return s.Reference(owner, v), nil
}

// Reveal returns the value of a variable: what its reference stands for, or the value itself when it is not SECRET.
func (s *Store) Reveal(owner string, e events.Env) (string, error) {
	if e.Type != "SECRET" {
		return e.Value, nil
	}
	v, ok := s.open(owner, e.Value)
	if !ok {
		return "", fmt.Errorf("the variable %s does not hold a sealed value of %s", e.Key, owner)
	}
	name, err := s.find(owner, v)
	if err != nil {
		return "", fmt.Errorf("the variable %s: version %s: %w", e.Key, v, err)
	}
	value, err := s.Get(owner, name, v)
	return string(value), err
}

// IsReference reports whether a value has the form of a reference, whoever's it is.
func IsReference(value string) bool { return strings.HasPrefix(value, "EV[") }

// Reference returns the text that stands for a version in the owner's specs. It is the same every time.
func (s *Store) Reference(owner string, v Version) string {
	return "EV[1:" + string(v) + ":" + s.proof(owner, v) + "]"
}

func (s *Store) proof(owner string, v Version) string {
	h := hmac.New(sha256.New, s.seal)
	fmt.Fprintf(h, "%q %s", owner, v)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}

// open returns the version of a reference that is the owner's.
func (s *Store) open(owner, reference string) (Version, bool) {
	body, ok := strings.CutPrefix(reference, "EV[1:")
	body, ended := strings.CutSuffix(body, "]")
	version, proof, cut := strings.Cut(body, ":")
	v := Version(version)
	if !ok || !ended || !cut || !v.valid() {
		return "", false
	}
	return v, hmac.Equal([]byte(proof), []byte(s.proof(owner, v)))
}

// find returns the name that a version is stored under.
func (s *Store) find(owner string, v Version) (string, error) {
	dir := filepath.Join(s.dir, escape(owner))
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(dir, e.Name(), string(v)+".age")); err == nil {
			return unescape(e.Name()), nil
		}
	}
	return "", ErrNotFound
}
