package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// The projection is thrown away, cut and flipped in many ways; each time it is noticed where it matters, and what is
// built anew from the log is the same, byte for byte, and the same as what the test itself makes of the log.
func TestProjectionIsBuiltAnew(t *testing.T) {
	seed := fromEnv(t, "SHIPLOG_SEED", uint64(time.Now().UnixNano())%1_000_000)
	random := rand.New(rand.NewPCG(seed, 0))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with SHIPLOG_SEED=%d", seed)
		}
	})
	s := start(t)
	s.lived()
	before := s.projected()
	want := s.dump()
	if again := s.dump(); again != want {
		t.Errorf("two dumps of one projection differ:\n%s", firstDifference(want, again))
	}

	s.rebuildSays("the one that runs", "equal")
	s.sameDump("rebuilt while it runs", want)
	s.down()
	s.rebuildSays("the one that does not run", "no service answers", "equal")
	l := s.logged()
	l.sound(t)
	l.explains(t, want)
	l.agrees(t, before)

	file := s.path("projection.db")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00")) // the rest was set aside for growing
	t.Logf("%d events; the projection has %d bytes, the dump %d", len(l.events), used, len(want))
	flipped := func(bits int) []byte {
		b := bytes.Clone(whole)
		for range bits {
			at := random.IntN(used)
			for whole[at] == 0 { // most of a page holds nothing
				at = random.IntN(used)
			}
			b[at] ^= 1 << random.IntN(8)
		}
		return b
	}
	type damage struct {
		what  string
		bytes []byte // nil: no file at all
		sure  bool   // it cannot be harmless
	}
	list := []damage{{"deleted", nil, false}, {"emptied", []byte{}, true}, {"another file", bytes.Repeat([]byte("no projection\n"), 5000), true}, {"500 flips", flipped(500), true}}
	for range 4 {
		at := random.IntN(used)
		list = append(list, damage{fmt.Sprintf("cut at %d of %d", at, used), whole[:at], true})
	}
	for n := range 6 {
		list = append(list, damage{fmt.Sprintf("flip %d", n+1), flipped(1), false})
	}
	noticed := 0
	for _, d := range list {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if d.bytes != nil {
			if err := os.WriteFile(file, d.bytes, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		was := s.aside()
		s.up()
		s.sameDump(d.what, want)
		if found := !slices.Equal(was, s.aside()); found {
			noticed++
		} else if d.sure {
			t.Errorf("%s: nothing was moved aside", d.what)
		}
		if left := s.aside(); len(left) > 2 {
			t.Errorf("%s: %d damaged files are kept: %v", d.what, len(left), left)
		}
		s.down()
	}
	t.Logf("%d of %d damages were noticed; what was not was harmless, as the dumps show", noticed, len(list))

	if err := os.WriteFile(file, list[3].bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	s.rebuildSays("damaged, not running", "nothing to compare")
	s.up()
	s.sameDump("rebuilt after damage", want)
	s.flipWhileRunning(random, want)
	s.agreesStill(t, before)
}

// lived gives the service a history: two apps with pushes, a rollback, an end of it, a restart, and one that was deleted.
func (s *site) lived() {
	s.t.Helper()
	s.quick("hello")
	s.quick("gone")
	s.quick("empty")
	r := s.clone("hello")
	for _, name := range []string{"one", "two"} {
		r.hello(name)
		r.push()
		s.answers("hello", name)
		s.settled("hello")
	}
	s.shiplog("rollback", "hello", "v1", "--yes", "--reason", "two was no good: 100% of “requests” failed")
	r.hello("three")
	r.push()
	s.eventually("the push is held", 20*time.Second, func() error {
		if v := s.lastVerdict("hello"); v != "held by pin" {
			return fmt.Errorf("the verdict is %q", v)
		}
		return nil
	})
	s.shiplog("unpin", "hello", "--yes", "--wait")
	s.shiplog("restart", "hello")
	s.settled("hello")
	s.shiplog("apps", "delete", "gone", "--yes")
}

// dump is the projection as text.
func (s *site) dump() string {
	s.t.Helper()
	out, err := s.tryDump()
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) tryDump() (string, error) {
	out, err := s.fetch("GET", s.url+"/v2/projection/dump", nil)
	if err == nil && strings.Contains(string(out), "the dump ends early") {
		err = fmt.Errorf("%s", strings.TrimSpace(last(string(out), 300)))
	}
	return string(out), err
}

// sameDump waits until the projection is there, and compares it.
func (s *site) sameDump(what, want string) {
	s.t.Helper()
	var got string
	checkpoint, _, _ := strings.Cut(want, "\n")
	s.eventually(what+": the projection is there", 20*time.Second, func() (err error) {
		got, err = s.tryDump()
		if now, _, _ := strings.Cut(got, "\n"); err == nil && now != checkpoint {
			err = fmt.Errorf("it is at %s, want %s", now, checkpoint)
		}
		return err
	})
	if got != want {
		s.t.Errorf("%s: the dump is another one:\n%s", what, firstDifference(want, got))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		var a, b string
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d was  %s\nline %d is   %s", i+1, a[:min(600, len(a))], i+1, b[:min(600, len(b))])
		}
	}
	return "none"
}

// aside lists the projections that were moved aside.
func (s *site) aside() []string {
	list, _ := filepath.Glob(s.path("projection.db.damaged-*"))
	return list
}

// rebuildSays runs the command, which must succeed and say every text.
func (s *site) rebuildSays(what string, texts ...string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.shiplog, "rebuild", "--data", s.dir)
	cmd.Env = append(os.Environ(), "SHIPLOG_URL="+s.url, "SHIPLOG_TOKEN="+s.token)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Errorf("shiplog rebuild of %s: %v: %s", what, err, out)
	}
	for _, text := range texts {
		if !strings.Contains(string(out), text) {
			s.t.Errorf("shiplog rebuild of %s says %q, and not %q", what, out, text)
		}
	}
}

// flipWhileRunning flips bits of the file under the running service until it notices.
func (s *site) flipWhileRunning(random *rand.Rand, want string) {
	s.t.Helper()
	f, err := os.OpenFile(s.path("projection.db"), os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	defer f.Close()
	whole, err := os.ReadFile(f.Name())
	if err != nil {
		s.t.Fatal(err)
	}
	used := len(bytes.TrimRight(whole, "\x00"))
	was := s.aside()
	for n := 1; n <= 200; n++ {
		at, one := int64(random.IntN(used)), make([]byte, 1)
		if _, err := f.ReadAt(one, at); err != nil {
			s.t.Fatal(err)
		}
		one[0] ^= 1 << random.IntN(8)
		if _, err := f.WriteAt(one, at); err != nil {
			s.t.Fatal(err)
		}
		got, err := s.tryDump()
		if err == nil && got == want {
			continue // in a page that holds nothing
		}
		if err == nil {
			s.t.Errorf("after flip %d, at %d, the dump is wrong and nothing was noticed:\n%s", n, at, firstDifference(want, got))
		}
		s.sameDump("flipped while it runs", want)
		s.eventually("the damaged projection is moved aside", 5*time.Second, func() error {
			if slices.Equal(was, s.aside()) {
				return fmt.Errorf("it is not")
			}
			return nil
		})
		s.t.Logf("flip %d under the running service was noticed: %v", n, err)
		return
	}
	s.t.Error("200 flips under the running service were not noticed")
}

// projected is what the API says of the apps.
type projected struct {
	Apps []struct {
		ID   string `json:"id"`
		Spec struct {
			Name string `json:"name"`
		} `json:"spec"`
		Release int `json:"release"`
		Active  *struct {
			ID         string `json:"id"`
			Generation uint64 `json:"generation"`
			Components []struct {
				Digest string `json:"digest"`
			} `json:"components"`
		} `json:"active_deployment"`
		Pins []json.RawMessage `json:"pins"`
	} `json:"apps"`
	releases    map[string][]numbered // by app
	deployments map[string][]numbered
}

type numbered struct {
	ID         string `json:"id"`
	Number     int    `json:"number"`
	Deployment string `json:"deployment_id"`
	Phase      string `json:"phase"`
}

func (s *site) projected() projected {
	s.t.Helper()
	p := projected{releases: map[string][]numbered{}, deployments: map[string][]numbered{}}
	if err := s.api("GET", "/v2/apps?per_page=200", nil, &p); err != nil {
		s.t.Fatal(err)
	}
	for _, a := range p.Apps {
		var of struct {
			Releases    []numbered `json:"releases"`
			Deployments []numbered `json:"deployments"`
		}
		for _, list := range []string{"releases", "deployments"} {
			if err := s.api("GET", "/v2/apps/"+a.ID+"/"+list+"?per_page=200", nil, &of); err != nil {
				s.t.Fatal(err)
			}
		}
		p.releases[a.ID], p.deployments[a.ID] = of.Releases, of.Deployments
	}
	return p
}

// agreesStill compares what the API says now with what it said.
func (s *site) agreesStill(t *testing.T, before projected) {
	t.Helper()
	was, _ := json.Marshal([]any{before, before.releases, before.deployments})
	now := s.projected()
	is, _ := json.Marshal([]any{now, now.releases, now.deployments})
	if !bytes.Equal(was, is) {
		t.Errorf("the API said\n%s\nand says\n%s", was, is)
	}
}

// agrees compares what the API says with what the log folds to.
func (l *logged) agrees(t *testing.T, p projected) {
	t.Helper()
	existing := 0
	for _, a := range l.apps {
		if a.Exists() {
			existing++
		}
	}
	if len(p.Apps) != existing || existing < 2 {
		t.Errorf("the API lists %d apps, the log has %d", len(p.Apps), existing)
	}
	for _, said := range p.Apps {
		a := l.apps[events.ID(said.ID)]
		if a.Name != said.Spec.Name || len(a.Pins) != len(said.Pins) {
			t.Errorf("app %s: the API says %+v, the log %s with pins %v", said.ID, said, a.Name, a.Pins)
		}
		if (said.Active == nil) != (a.Active == "") {
			t.Errorf("app %s: the API says %+v, the log says %q is active", a.Name, said.Active, a.Active)
		} else if said.Active != nil && (said.Active.ID != string(a.Active) || said.Release != len(a.Releases) || said.Active.Components[0].Digest != string(a.Serving["web"].Target.Digest)) {
			t.Errorf("app %s: the API says %+v of release %d, the log says %v of release %d", a.Name, said.Active, said.Release, a.Serving, len(a.Releases))
		}
		var releases, deployments []numbered
		for _, r := range slices.Backward(a.Releases) {
			releases = append(releases, numbered{Number: r.Number, Deployment: string(r.Deployment)})
		}
		for i, r := range p.releases[said.ID] {
			p.releases[said.ID][i] = numbered{Number: r.Number, Deployment: r.Deployment}
		}
		for _, id := range slices.Backward(l.order[a.ID]) {
			var d deploy.Deployment
			if err := json.Unmarshal(l.deployments[a.ID][id], &d); err != nil {
				t.Fatal(err)
			}
			deployments = append(deployments, numbered{ID: string(id), Phase: string(d.Phase)})
		}
		for i, d := range p.deployments[said.ID] {
			p.deployments[said.ID][i] = numbered{ID: d.ID, Phase: d.Phase}
		}
		if !slices.Equal(p.releases[said.ID], releases) {
			t.Errorf("app %s: the API lists the releases %v, the log %v", a.Name, p.releases[said.ID], releases)
		}
		if !slices.Equal(p.deployments[said.ID], deployments) {
			t.Errorf("app %s: the API lists the deployments %v, the log %v", a.Name, p.deployments[said.ID], deployments)
		}
	}
}

// explains compares a dump with what the test itself made of the log: every event, every head, every app's state and
// every deployment.
func (l *logged) explains(t *testing.T, dump string) {
	t.Helper()
	tables := map[string]map[string]string{} // table -> key -> payload
	for i, line := range strings.Split(strings.TrimSuffix(dump, "\n"), "\n") {
		table, rest, _ := strings.Cut(line, " ")
		key, quoted, _ := strings.Cut(rest, " ")
		if i < 2 {
			continue // the checkpoint and the stream
		}
		payload, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("line %d of the dump: %v: %s", i+1, err, line)
		}
		if tables[table] == nil {
			tables[table] = map[string]string{}
		}
		tables[table][key] = payload
	}
	if first, _, _ := strings.Cut(dump, "\n"); !strings.HasPrefix(first, "checkpoint "+l.events[len(l.events)-1].Position.String()) {
		t.Errorf("the dump is of %q, the log ends at %s", first, l.events[len(l.events)-1].Position)
	}
	heads := map[events.Subject]events.Recorded{}
	for _, e := range l.events {
		heads[e.Subject] = e
		stored := tables["events.v1"][fmt.Sprintf("%016x", e.Position.Sequence)]
		if !strings.Contains(stored, string(e.Hash[:])) || !strings.HasSuffix(stored, string(e.Body)) {
			t.Errorf("event %s is not in the dump as it is in the log", e.Position)
		}
	}
	folds, deployments := map[string]string{}, map[string]string{}
	for id, a := range l.apps {
		state, _ := json.Marshal(a)
		folds[hexID(id)] = string(state)
		for n, d := range l.order[id] {
			deployments[hexID(id)+fmt.Sprintf("%016x", n)] = string(l.deployments[id][d])
		}
	}
	for _, c := range []struct {
		table string
		want  map[string]string
	}{{"folds.v2", folds}, {"deployments.v1", deployments}} {
		if len(tables[c.table]) != len(c.want) || len(c.want) == 0 {
			t.Errorf("the dump has %d records of %s, the log gives %d", len(tables[c.table]), c.table, len(c.want))
		}
		for key, want := range c.want {
			if got := tables[c.table][key]; got != want {
				t.Errorf("%s %s is\n%s\nthe log gives\n%s", c.table, key, got, want)
			}
		}
	}
	if len(tables["events.v1"]) != len(l.events) || len(tables["heads.v1"]) != len(heads) {
		t.Errorf("the dump has %d events and %d heads, the log %d and %d", len(tables["events.v1"]), len(tables["heads.v1"]), len(l.events), len(heads))
	}
	for subject, e := range heads {
		var head events.Head
		if err := json.Unmarshal([]byte(tables["heads.v1"][fmt.Sprintf("%x", string(subject))]), &head); err != nil || head != e.Head() {
			t.Errorf("the head of %s is %v (%v), the log gives %v", subject, head, err, e.Head())
		}
	}
}

// hexID is an app's id as the dump's keys begin.
func hexID(id events.ID) string { return strings.ReplaceAll(string(id), "-", "") }
