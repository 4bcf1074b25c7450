package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"shiplog/events"
	"shiplog/internal/deploy"
)

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
