package events

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden files that are missing; existing ones are never touched")

func goldenFile(name string, version int) string {
	return filepath.Join("testdata", "golden", name+".v"+strconv.Itoa(version)+".json")
}

// TestGolden holds every event to the bytes it was first written as. A type without a file fails: run the tests with
// -update and commit the file. A file that differs means that a payload changed: that needs a new version, see doc.go.
func TestGolden(t *testing.T) {
	for _, k := range registry {
		t.Run(k.name, func(t *testing.T) {
			want := sample(t, k.zero)
			body, err := Encode(want)
			if err != nil {
				t.Fatal(err)
			}
			golden := golden(t, goldenFile(k.name, k.version), body)
			if !bytes.Equal(body, golden) {
				t.Errorf("%s is now written as\n%s\nand was written as\n%s", k.name, body, golden)
			}
			if got := Decode(k.name, k.version, golden); !reflect.DeepEqual(got, want) {
				t.Errorf("reads as\n%+v\nwant\n%+v", got, want)
			}
		})
	}
}

// TestGoldenFilesRead reads every golden file there is, of old versions too.
func TestGoldenFilesRead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.json"))
	if err != nil || len(files) < len(registry) {
		t.Fatalf("%d golden files for %d types, %v", len(files), len(registry), err)
	}
	for _, file := range files {
		name, rest, _ := strings.Cut(filepath.Base(file), ".v")
		version, err := strconv.Atoi(strings.TrimSuffix(rest, ".json"))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if u, ok := Decode(name, version, golden(t, file, nil)).(Unknown); ok {
			t.Errorf("%s: %s", file, u.Why)
		}
	}
}

// golden returns the content of a golden file, compacted. With -update it first writes body to it if it is missing.
func golden(t *testing.T, file string, body []byte) []byte {
	t.Helper()
	if _, err := os.Stat(file); *update && os.IsNotExist(err) {
		var b bytes.Buffer
		if err := json.Indent(&b, body, "", "\t"); err != nil {
			t.Fatal(err)
		}
		b.WriteByte('\n')
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v: run this test with -update and commit the file", err)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, content); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b.Bytes()
}

// sample returns an event of zero's type in which every field, at any depth, has a value.
func sample(t *testing.T, zero Event) Event {
	v := reflect.New(reflect.TypeOf(zero)).Elem()
	populate(t, v, reflect.TypeOf(zero).Name())
	return v.Interface().(Event)
}

func populate(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch v.Interface().(type) {
	case ID:
		v.SetString(string(NamedID("golden", name)))
		return
	case Commit:
		v.SetString(strings.Repeat("9a4df0b1", 5))
		return
	case Digest:
		v.SetString("sha256:" + strings.Repeat("1eab30c2", 8))
		return
	case RefName:
		v.SetString("refs/heads/main")
		return
	case Revision:
		v.Set(reflect.ValueOf(Revision{Ref: "refs/heads/main", Commit: Commit(strings.Repeat("9a4df0b1", 5))}))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 9, 8, 7, 654321000, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(name)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(len(name)))
	case reflect.Uint64:
		v.SetUint(uint64(len(name)))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		populate(t, v.Elem(), name)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			populate(t, v.Index(i), fmt.Sprint(name, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range 2 {
			elem := reflect.New(v.Type().Elem()).Elem()
			populate(t, elem, fmt.Sprint(name, i))
			v.SetMapIndex(reflect.ValueOf(fmt.Sprint("key", i)), elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			populate(t, v.Field(i), v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s: populate cannot fill a %s: teach it", name, v.Type())
	}
}

// envelope is a whole recorded event as it was once written: its hash can never change.
type envelope struct {
	Subject  Subject           `json:"subject"`
	Headers  map[string]string `json:"headers"`
	Body     string            `json:"body"`
	Position Position          `json:"position"`
	Hash     Hash              `json:"hash"`
}

func TestGoldenEnvelope(t *testing.T) {
	prev := Hash{}
	for i, d := range []Draft{
		{ID: NamedID("golden", "first"), At: time.Date(2026, 11, 21, 9, 8, 7, 654321987, time.FixedZone("CET", 3600)), Actor: NewActor("token", "a b"),
			Cause: "command:1", Deployment: NamedID("golden", "deployment"), Event: AppStopped{Reason: "über \u2028 <b> \"x\""}},
		{ID: NamedID("golden", "second"), At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Actor: Self, Event: AppStarted{}},
	} {
		r, err := Seal(AppSubject(NamedID("golden", "app")), prev, d)
		if err != nil {
			t.Fatal(err)
		}
		prev = r.Hash
		r.Position = Position{Epoch: 1, Sequence: uint64(i) + 7}
		raw, err := json.Marshal(envelope{r.Subject, r.Headers(), string(r.Body), r.Position, r.Hash})
		if err != nil {
			t.Fatal(err)
		}
		var want envelope
		if err := json.Unmarshal(golden(t, filepath.Join("testdata", "envelope", fmt.Sprint(i+1, ".json")), raw), &want); err != nil {
			t.Fatal(err)
		}
		if got := (envelope{r.Subject, r.Headers(), string(r.Body), r.Position, r.Hash}); !reflect.DeepEqual(got, want) {
			t.Errorf("event %d is now\n%+v\nand was\n%+v", i, got, want)
		}
		opened, err := Open(want.Position, want.Subject, func(name string) string { return want.Headers[name] }, []byte(want.Body))
		if err != nil || !reflect.DeepEqual(opened, r) {
			t.Errorf("event %d reads as\n%+v, %v\nwant\n%+v", i, opened, err, r)
		}
	}
}

func TestNamesAreForEver(t *testing.T) {
	if got := NamedID("a", "bc"); got != "6bc75923-390b-50fb-964d-a0cd83db551a" {
		t.Errorf("NamedID changed: %s", got)
	}
	seen := map[string]bool{}
	for _, k := range registry {
		if seen[k.name] || k.version < 1 {
			t.Errorf("%s is registered twice, or has no version", k.name)
		}
		seen[k.name] = true
		if name, version := TypeOf(k.zero); name != k.name || version != k.version {
			t.Errorf("TypeOf %s is %s %d", k.name, name, version)
		}
	}
}
