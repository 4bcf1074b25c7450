package deploy

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"shiplog/events"
)

// A scenario is an app's life in short lines, so that the tables in the tests read as given/when/then:
//
//	app [COMPONENT…]        create it, every component from the built-in remote, branch main
//	push REF N              a push of commit N to REF arrives and is judged
//	hook ID REF N           a push arrives under that delivery id
//	judge ID N              its ref is resolved to commit N ("-": gone, "?": not resolvable)
//	claim again [BUILDER] | built of ATTEMPT | late built G | late live G   the same out of turn
//	claim | built | fail    what the builder reports of the oldest build that is due; "fail again" is worth a retry
//	roll | live | broke     the rollout begins, ends well, fails
//	ship                    build and roll whatever is due until nothing is
//	pin COMPONENT KIND REF N | rollback vN | unpin | commit | revert | expire   COMPONENT "*" is all
//	branch COMPONENT REF     a spec in which that component follows REF
//	deploy N [MODE] | restart [C] | stop | start | arg VALUE | env VALUE | cancel G | quarantine N | delete
//	image-quarantine N      of the image that is being built of commit N
//	components C…           a spec with those components
type scenario struct {
	t    *testing.T
	app  App
	now  time.Time
	n    uint64 // events so far
	log  []events.Recorded
	last []events.Event
	err  error

	again int // how often each decision is taken again, to compare
}

const repository = "http://localhost/git/hello.git"

func play(t *testing.T, script string) *scenario {
	t.Helper()
	return playing(&scenario{t: t}, script)
}

func playing(s *scenario, script string) *scenario {
	s.now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" {
			s.last, s.err = nil, nil
			s.step(strings.Fields(line))
		}
	}
	return s
}

func commit(n string) events.Commit {
	return events.Commit(fmt.Sprintf("%x", sha256.Sum256([]byte("commit "+n)))[:40])
}

func digest(n string) events.Digest {
	return events.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256([]byte("image "+n))))
}

func revision(ref, n string) events.Revision {
	return events.Revision{Ref: full(ref), Commit: commit(n)}
}

func full(ref string) events.RefName {
	if tag, ok := strings.CutPrefix(ref, "tag:"); ok {
		return events.Tag(tag)
	}
	return events.Branch(ref)
}

func component(name string) events.Component {
	return events.Component{Name: name, Git: &events.GitSource{RepoCloneURL: repository, Branch: "main"}}
}

func (s *scenario) step(f []string) {
	arg := func(i int) string {
		if i < len(f) {
			return f[i]
		}
		return ""
	}
	switch f[0] {
	case "app":
		spec := events.Spec{Name: "hello"}
		for _, name := range append(f[1:], []string{"web"}[:max(0, 2-len(f))]...) {
			spec.Services = append(spec.Services, component(name))
		}
		s.do(CreateApp{Spec: spec})
	case "push":
		id := fmt.Sprintf("auto%d", s.n)
		s.step([]string{"hook", id, f[1], f[2]})
		s.last = nil
		s.step([]string{"judge", id, f[2]})
	case "hook":
		s.do(ReceivePush{events.PushReceived{Provider: "git", Delivery: f[1], Repository: repository, Ref: full(f[2]), After: commit(f[3])}})
	case "judge":
		p := s.app.Pending[f[1]+"#0"]
		c := JudgePush{Push: f[1] + "#0", Resolved: events.Revision{Ref: p.Ref, Commit: commit(f[2])}}
		switch f[2] {
		case "-":
			c.Resolved = events.Revision{}
		case "?":
			c.Resolved, c.Err = events.Revision{}, "no such ref"
		}
		s.do(c)
	case "claim":
		if arg(1) == "again" {
			d, name, p := s.building()
			s.do(ClaimBuild{d.ID, name, cmp.Or(arg(2), p.Builder), s.now.Add(time.Minute)})
			return
		}
		a := s.due(ActBuild)
		s.do(ClaimBuild{a.Deployment, a.Component, "local", s.now.Add(time.Minute)})
	case "built":
		d, name, p := s.building()
		attempt := p.Attempt
		if arg(1) == "of" {
			attempt = number(arg(2))
		}
		s.do(FinishBuild{Deployment: d.ID, Component: name, Attempt: attempt, Digest: s.image(p.Key)})
	case "late":
		d := s.generation(f[2])
		if f[1] == "built" {
			s.do(FinishBuild{Deployment: d.ID, Component: "web", Attempt: 1, Digest: digest("late")})
		} else {
			s.do(FinishRollout{Deployment: d.ID})
		}
	case "delete":
		s.do(DeleteApp{})
	case "image-quarantine":
		d, _, p := s.building()
		s.do(Quarantine{Digest: s.image(p.Key), Reason: "bad image of " + string(d.ID)})
	case "fail":
		d, name, p := s.building()
		s.do(FailBuild{Deployment: d.ID, Component: name, Attempt: p.Attempt, Reason: "step 3 failed", Retry: arg(1) == "again"})
	case "roll":
		s.do(StartRollout{s.due(ActRollout).Deployment})
	case "live":
		s.do(FinishRollout{Deployment: s.due(ActRollout).Deployment})
	case "broke":
		s.do(FailDeployment{Deployment: s.due(ActRollout).Deployment, Component: "web", Step: "healthy", Reason: "never ready"})
	case "ship":
		s.ship()
	case "pin":
		s.pin(strings.Trim(f[1], "*"), f[2], f[3], f[4:])
	case "rollback":
		r := s.app.Releases[number(f[1])-1]
		s.do(PinTo{Kind: events.RefRelease, Ref: f[1], Targets: r.Have, SpecHash: r.SpecHash, Mode: events.BuildReuse, IfUnpinned: arg(2) == "if-unpinned", Commit: arg(2) == "skip-pin"})
	case "unpin":
		s.do(Unpin{Component: arg(1), Why: events.UnpinByHand})
	case "commit", "revert":
		s.do(Unpin{Component: arg(1), Why: events.UnpinWhy(f[0])})
	case "expire":
		a := s.due(ActUnpin)
		if arg(1) != "early" {
			s.now = a.At
		}
		s.do(Unpin{Component: a.Component, Why: events.UnpinExpired})
	case "deploy":
		mode := events.BuildReuse
		if arg(2) != "" {
			mode = events.BuildMode(arg(2))
		}
		s.do(Deploy{Targets: s.targets("", events.Target{Revision: revision("main", f[1])}), Mode: mode})
	case "restart":
		s.do(Restart{f[1:]})
	case "stop":
		s.do(StopApp{})
	case "start":
		s.do(StartApp{})
	case "arg", "env":
		spec := s.app.Spec
		scope := map[string]string{"arg": "BUILD_TIME", "env": "RUN_TIME"}[f[0]]
		spec.Envs = []events.Env{{Key: "X", Value: f[1], Scope: scope}}
		s.do(ChangeSpec{Spec: spec})
	case "components":
		spec := s.app.Spec
		spec.Services = nil
		for _, name := range f[1:] {
			c, ok := s.app.Spec.Component(name)
			if !ok {
				c = component(name)
			}
			spec.Services = append(spec.Services, c)
		}
		s.do(ChangeSpec{Spec: spec, Targets: s.targetsOf(spec, revision("main", s.main()))})
	case "branch":
		spec := s.app.Spec
		spec.Services = slices.Clone(spec.Services)
		i := slices.IndexFunc(spec.Services, func(c events.Component) bool { return c.Name == f[1] })
		spec.Services[i].Git = &events.GitSource{RepoCloneURL: repository, Branch: f[2]}
		if n, ok := strings.CutPrefix(f[2], "commit:"); ok {
			spec.Services[i].Git.Branch = string(commit(n))
		}
		s.do(ChangeSpec{Spec: spec, Targets: s.targetsOf(spec, events.Revision{})})
	case "cancel":
		s.do(Cancel{Deployment: s.generation(f[1]).ID})
	case "quarantine":
		s.do(Quarantine{Commit: commit(f[1]), Reason: "bad"})
	default:
		s.t.Fatalf("no such step: %s", f[0])
	}
}

func (s *scenario) pin(only, kind, ref string, rest []string) {
	t := events.Target{}
	switch k := events.RefKind(kind); k {
	case events.RefBranch:
		t.Revision = revision(ref, rest[0])
	case events.RefTag:
		t.Revision = revision("tag:"+ref, rest[0])
	case events.RefCommit:
		t.Revision = events.Revision{Commit: commit(ref)}
	case events.RefDigest:
		t = events.Target{Revision: revision("main", ref), Digest: s.imageOf(ref)}
	}
	c := PinTo{Component: only, Kind: events.RefKind(kind), Ref: ref, Targets: s.targets(only, t), Reason: "because", Mode: events.BuildReuse}
	if len(rest) > 0 && strings.HasPrefix(rest[len(rest)-1], "for=") {
		d, _ := time.ParseDuration(strings.TrimPrefix(rest[len(rest)-1], "for="))
		c.Expires = s.now.Add(d)
	}
	if slices.Contains(rest, "force") {
		c.Mode = events.BuildForce
	}
	s.do(c)
}

func (s *scenario) targets(only string, t events.Target) map[string]events.Target {
	out := map[string]events.Target{}
	for _, c := range s.app.Spec.Components() {
		if only == "" || only == c.Name {
			out[c.Name] = t
		}
	}
	return out
}

// targetsOf is what the newest revision of a spec's components is.
func (s *scenario) targetsOf(spec events.Spec, r events.Revision) map[string]events.Target {
	out := map[string]events.Target{}
	for _, c := range spec.Components() {
		out[c.Name] = events.Target{Revision: r}
	}
	return out
}

// main is the commit that main was last seen at.
func (s *scenario) main() string {
	return s.commitName(s.app.Seen[SeenKey(repository, events.Branch("main"))].Commit)
}

// ship works off everything that is due, as the reactor would.
func (s *scenario) ship() {
	for range 50 {
		next := Next(s.app)
		if i := slices.IndexFunc(next, func(a Action) bool { return a.Kind == ActBuild }); i >= 0 {
			s.step([]string{"claim"})
			s.step([]string{"built"})
		} else if slices.ContainsFunc(next, func(a Action) bool { return a.Kind == ActRollout }) {
			s.step([]string{"roll"})
			s.step([]string{"live"})
		} else {
			return
		}
	}
	s.t.Fatal("it never ends")
}

// do decides and folds, through the log's own encoding (Seal decodes what it sealed), so that what is tested is what is stored.
func (s *scenario) do(c Command) {
	s.t.Helper()
	s.now = s.now.Add(time.Second)
	o := Order{App: "5b0f6f1e-6a0e-4d43-9a55-9b7a4e1d6c11", ID: fmt.Sprintf("o%d", s.n), Actor: "token:ann", At: s.now, Command: c}
	s.give(o)
}

func (s *scenario) give(o Order) {
	s.t.Helper()
	drafts, err := Decide(s.app, o)
	s.err = err
	for range s.again {
		if again, errAgain := Decide(s.app, o); !reflect.DeepEqual(again, drafts) || fmt.Sprint(errAgain) != fmt.Sprint(err) {
			s.t.Fatalf("%T decided again is another decision:\n%+v %v\n%+v %v", o.Command, drafts, err, again, errAgain)
		}
	}
	for _, d := range drafts {
		r, err := events.Seal(events.AppSubject(o.App), s.app.Head.Hash, d)
		if err != nil {
			s.t.Fatal(err)
		}
		s.n++
		r.Position = events.Position{Epoch: 1, Sequence: s.n}
		s.app = Evolve(s.app, r)
		s.log = append(s.log, r)
		s.last = append(s.last, r.Event)
	}
}

func (s *scenario) due(k ActionKind) Action {
	s.t.Helper()
	for _, a := range Next(s.app) {
		if a.Kind == k {
			return a
		}
	}
	s.t.Fatalf("nothing to %s; next is %v", k, Next(s.app))
	return Action{}
}

func (s *scenario) building() (*Deployment, string, *Part) {
	s.t.Helper()
	for _, d := range s.app.Live() {
		for _, name := range slices.Sorted(maps.Keys(d.Parts)) {
			if p := d.Parts[name]; p.Builder != "" {
				return d, name, p
			}
		}
	}
	s.t.Fatal("nothing is building")
	return nil, "", nil
}

func (s *scenario) generation(g string) *Deployment {
	s.t.Helper()
	for _, d := range s.app.Deployments {
		if strconv.FormatUint(d.Generation, 10) == g {
			return d
		}
	}
	s.t.Fatalf("no deployment %s", g)
	return nil
}

// image is what a build of those inputs gives; imageOf what the newest build of a commit gave.
func (s *scenario) image(key string) events.Digest { return digest(key) }

func (s *scenario) imageOf(n string) events.Digest {
	return s.app.image("web", func(i Image) bool { return i.Revision.Commit == commit(n) })
}

func number(v string) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(v, "v"))
	return n
}

// told is what the last step added, a line an event, in the words of the tables.
func (s *scenario) told() string {
	var lines []string
	for _, e := range s.last {
		name, _ := events.TypeOf(e)
		switch e := e.(type) {
		case events.PushJudged:
			name = strings.Join(append([]string{name, string(e.Verdict)}, append(e.Components, e.Held...)...), " ")
		case events.DeploymentRequested:
			name = fmt.Sprintf("%s %d %s%s", name, e.Generation, e.Intent, s.wants(e.Want))
		case events.DeploymentSuperseded:
			name += fmt.Sprintf(" %d", e.Generation)
		case events.DeploymentCanceled:
			name += fmt.Sprintf(" %d", e.Generation)
		case events.DeploymentFailed:
			name += fmt.Sprintf(" %d %s", e.Generation, e.Step)
		case events.Pinned:
			name += fmt.Sprintf(" %s %s", e.Kind, e.Ref)
		case events.Unpinned:
			name += " " + string(e.Why)
		case events.Released:
			name += fmt.Sprintf(" v%d", e.Number)
		}
		lines = append(lines, name)
	}
	return strings.Join(lines, "\n")
}

// wants says for each component which commit is wanted and whether it has to be built.
func (s *scenario) wants(want map[string]events.Target) string {
	out := ""
	for _, c := range s.app.Spec.Components() {
		t, ok := want[c.Name]
		if !ok {
			continue
		}
		how := "pull"
		if t.Digest == "" {
			how = "build"
		}
		out += fmt.Sprintf(" %s=%s:%s", c.Name, s.commitName(t.Revision.Commit), how)
	}
	return out
}

func (s *scenario) commitName(c events.Commit) string {
	for n := range 20 {
		if commit(strconv.Itoa(n)) == c {
			return strconv.Itoa(n)
		}
	}
	return "?"
}

// runs says what serves: "web=2".
func (s *scenario) runs() string {
	var out []string
	for _, c := range s.app.Spec.Components() {
		if serving, ok := s.app.Serving[c.Name]; ok {
			out = append(out, c.Name+"="+s.commitName(serving.Target.Revision.Commit))
		}
	}
	return strings.Join(out, " ")
}
