package spec

import (
	"encoding/json"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/digitalocean/godo"

	"shiplog/events"
)

const hello = `
# the smallest useful app
name: hello
services:
  - name: web
    git:
      repo_clone_url: https://git.example.com/team/hello.git
      branch: main
`

func TestParseReadsYAMLAndJSONAlike(t *testing.T) {
	want := events.Spec{Name: "hello", Services: []events.Component{{Name: "web",
		Git: &events.GitSource{RepoCloneURL: "https://git.example.com/team/hello.git", Branch: "main"}}}}
	for name, in := range map[string]string{
		"yaml":          hello,
		"json":          `{"name":"hello","services":[{"name":"web","git":{"repo_clone_url":"https:\/\/git.example.com/team/hello.git","branch":"main"}}]}`,
		"json and tabs": "\n{\t\"name\":\t\"hello\",\n\t\"services\":\t[{\"name\":\"web\",\"git\":{\"repo_clone_url\":\"https://git.example.com/team/hello.git\",\"branch\":\"main\"}}]}",
		"flow yaml":     `{name: hello, services: [{name: web, git: {repo_clone_url: 'https://git.example.com/team/hello.git', branch: main}}]}`,
		"anchors":       "region: &r ''\nname: hello\nservices:\n- name: web\n  git: &g\n    repo_clone_url: https://git.example.com/team/hello.git\n    branch: main\n",
		"nulls":         `{"name":"hello","workers":null,"envs":null,"services":[{"name":"web","image":null,"git":{"repo_clone_url":"https://git.example.com/team/hello.git","branch":"main"}}]}`,
		"says nothing":  hello + "jobs: []\ndomains: null\ningress: {}\ndisable_edge_cache: false\n",
	} {
		got, err := Parse([]byte(in))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v", name, got)
		}
	}
}

func TestParseKeepsSpelling(t *testing.T) {
	s, err := Parse([]byte(`
name: hello
services:
- name: web
  image: {registry_type: DOCKER_HUB, repository: nginx, tag: 1.10}
  run_command: |
    echo one
    echo two
  envs:
  - {key: A, value: 0644}
  - {key: B, value: yes}
  - {key: C, value: true}
  - {key: D, value: 1e3}
  - {key: E, value: "a: b # c"}
  - {key: F, value: 2026-11-21}
`))
	if err != nil {
		t.Fatal(err)
	}
	web := s.Services[0]
	if web.Image.Tag != "1.10" || web.RunCommand != "echo one\necho two\n" {
		t.Errorf("got tag %q and command %q", web.Image.Tag, web.RunCommand)
	}
	for i, want := range []string{"0644", "yes", "true", "1e3", "a: b # c", "2026-11-21"} {
		if got := web.Envs[i].Value; got != want {
			t.Errorf("%s = %q, want %q", web.Envs[i].Key, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", "the spec is empty"},
		{"only a comment", "# nothing\n", "the spec is empty"},
		{"null", "null", "the spec is empty"},
		{"a list", "- a\n", "must be a group of fields, not a list"},
		{"unknown field", hello + "nmae: x\n", "nmae (line 9): there is no such field here"},
		{"unknown field inside", hello + "      brnach: x\n", "services[0].git.brnach (line 9): there is no such field here"},
		{"in json", "{\n\"name\":\"a\",\n\"x\":1}", "x (line 3): there is no such field here"},
		{"given twice", hello + "name: again\n", "line 9: mapping key \"name\" already defined"},
		{"given twice in json", `{"name":"a","name":"b"}`, "name (line 1): is given twice"},
		{"jobs", hello + "jobs:\n- name: migrate\n", "jobs (line 9): jobs are not built yet"},
		{"domains", hello + "domains:\n- domain: example.com\n", "domains are not built yet: an app answers at its name"},
		{"databases", hello + "databases:\n- name: db\n", "databases (line 9): databases are not built yet"},
		{"ingress", hello + "ingress:\n  rules:\n  - match: {}\n", "ingress is not built yet: give routes on the services"},
		{"build command", hello + "    build_command: make\n", "services[0].build_command (line 9): build_command is not built yet: builds need a Dockerfile"},
		{"internal ports", hello + "    internal_ports: [9000]\n", "internal_ports are not built yet"},
		{"http2", hello + "    protocol: HTTP2\n", "protocol is not built yet"},
		{"wrong type", hello + "    instance_count: two\n", "services[0].instance_count (line 9): must be a whole number"},
		{"half", hello + "    instance_count: 1.5\n", "must be a whole number"},
		{"quoted number", hello + "    instance_count: '2'\n", "must be a whole number"},
		{"huge number", hello + "    instance_count: 99999999999\n", "must be a whole number"},
		{"text for a list", hello + "    envs: A=b\n", "services[0].envs (line 9): must be a list, not text"},
		{"hole in a list", hello + "workers:\n-\n", "workers[0] (line 10): is empty"},
		{"merge key", "a: &a {name: x}\n<<: *a\n", "merge keys"},
		{"tag", "name: !!binary aGk=\n", "is not something a spec may use"},
		{"no anchor", "name: *nobody\n", "names no anchor before it"},
		{"two documents", hello + "---\nname: two\n", "a second document begins"},
		{"broken", "name: [\n", "the spec cannot be read"},
		{"broken json", `{"name": "a"`, "the spec cannot be read"},
		{"too long", strings.Repeat("# hi\n", 60_000), "at most 262144 are read"},
	} {
		_, err := Parse([]byte(c.in))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
}

func TestParseReportsEverythingAtOnce(t *testing.T) {
	_, err := Parse([]byte(hello + "jobs: [{name: a}]\nvpc: {id: x}\nfoo: 1\n"))
	ps, ok := err.(Problems)
	if !ok || len(ps) != 3 || ps[0].Path != "jobs" || ps[1].Line != 10 || ps[2].Path != "foo" {
		t.Errorf("got %v", err)
	}
}

func TestParseNeverQuotesValues(t *testing.T) {
	for _, in := range []string{
		hello + "    envs:\n    - {key: A, value: canary-7d1e, oops: [}\n",
		hello + "    envs:\n    - {key: A, value: [canary-7d1e]}\n",
		hello + "    envs: canary-7d1e\n",
		hello + "    envs:\n    - key: A\n      value: |canary-7d1e\n",
		hello + "    envs:\n    - key: A\n      value: \"canary-7d1e\n   bad\n",
	} {
		if _, err := Parse([]byte(in)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v", err)
		}
	}
}

func TestParseSurvivesHostileText(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		p := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+p+",", 9) + "*" + p + "]\n"
	}
	blocks := ""
	for i := range 600 {
		blocks += strings.Repeat(" ", i) + "a:\n"
	}
	for name, in := range map[string]string{
		"alias bomb":     bomb,
		"open lists":     strings.Repeat("[", MaxText),
		"open objects":   strings.Repeat("{a: ", MaxText/4),
		"nested lists":   "a: " + strings.Repeat("[", 900) + strings.Repeat("]", 900),
		"dashes":         strings.Repeat("- ", MaxText/2),
		"questions":      strings.Repeat("? ", MaxText/2),
		"blocks":         blocks,
		"anchor in self": "a: &a [*a]\n",
		"json lists":     strings.Repeat(`{"a":[`, 4000) + strings.Repeat("]}", 4000),
		"anchors":        strings.Repeat("&a ", MaxText/3),
		"tags":           strings.Repeat("!a ", MaxText/3),
		"long key":       strings.Repeat("k", MaxText/2) + ": [" + strings.Repeat("x,", MaxText/5) + "]",
		"wide":           "a: [" + strings.Repeat("x,", MaxText/3) + "]",
		"long path":      strings.Repeat("{"+strings.Repeat("k", 60)+": ", 31) + "[" + strings.Repeat("x,", 14_000) + "]" + strings.Repeat("}", 31),
		"NUL":            "\x00",
		"not UTF-8":      "name: \xff\xfe",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("%s: was accepted", name)
		}
		runtime.ReadMemStats(&after)
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 256 {
			t.Errorf("%s: took %d MiB", name, mib)
		}
	}
}

func TestParseReadsGodosSpec(t *testing.T) {
	in := godo.AppSpec{
		Name: "shop", Region: "ams",
		Services: []*godo.AppServiceSpec{{
			Name:   "web",
			GitHub: &godo.GitHubSourceSpec{Repo: "team/shop", Branch: "main", DeployOnPush: true},
			Envs: []*godo.AppVariableDefinition{
				{Key: "TOKEN", Value: "s3cret", Scope: godo.AppVariableScope_RunTime, Type: godo.AppVariableType_Secret}},
			InstanceCount: 2, InstanceSizeSlug: "apps-s-1vcpu-0.5gb", HTTPPort: 3000, Protocol: godo.SERVINGPROTOCOL_HTTP,
			Routes:      []*godo.AppRouteSpec{{Path: "/", PreservePathPrefix: true}},
			HealthCheck: &godo.AppServiceSpecHealthCheck{HTTPPath: "/up", PeriodSeconds: 5, Port: 3001},
			Termination: &godo.AppServiceSpecTermination{DrainSeconds: 3, GracePeriodSeconds: 20},
			Alerts:      []*godo.AppAlertSpec{},
		}},
		Workers: []*godo.AppWorkerSpec{{
			Name: "mail",
			Image: &godo.ImageSourceSpec{RegistryType: godo.ImageSourceSpecRegistryType_DockerHub, Registry: "team",
				Repository: "mail", Tag: "v2", DeployOnPush: &godo.ImageSourceSpecDeployOnPush{}},
			Termination: &godo.AppWorkerSpecTermination{GracePeriodSeconds: 9},
		}},
		Features: []string{"shiplog-release=3"},
	}
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(body)
	if err == nil {
		s, err = Check(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	web, mail := s.Services[0], s.Workers[0]
	if web.GitHub == nil || !web.DeployOnPush() || web.InstanceCount != 2 || web.HealthCheck.HTTPPath != "/up" ||
		web.Termination.DrainSeconds != 3 || web.Envs[0].Type != "SECRET" || !web.Routes[0].PreservePathPrefix {
		t.Errorf("web: got %+v", web)
	}
	if repository, tag, _ := ImageRef(mail); repository != "docker.io/team/mail" || tag != "v2" {
		t.Errorf("mail: got %s:%s", repository, tag)
	}

	// And back: a client of App Platform reads what we keep.
	var out godo.AppSpec
	if err := json.Unmarshal(encode(s), &out); err != nil {
		t.Fatal(err)
	}
	if out.Services[0].GitHub.Repo != "team/shop" || out.Workers[0].Image.Tag != "v2" || out.Features[0] != "shiplog-release=3" {
		t.Errorf("back: got %+v", out)
	}
}

func TestParseRefusesWhatGodoHasAndWeDoNot(t *testing.T) {
	body, _ := json.Marshal(godo.AppSpec{Name: "shop",
		Services:  []*godo.AppServiceSpec{{Name: "web", CORS: &godo.AppCORSPolicy{MaxAge: "5h"}, LivenessHealthCheck: &godo.HealthCheckSpec{Port: 1}}},
		Jobs:      []*godo.AppJobSpec{{Name: "migrate"}},
		Databases: []*godo.AppDatabaseSpec{{Name: "db"}},
		Domains:   []*godo.AppDomainSpec{{Domain: "example.com"}},
	})
	_, err := Parse(body)
	for _, want := range []string{"services[0].cors ", "services[0].liveness_health_check ", "jobs ", "databases ", "domains "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not named in: %v", want, err)
		}
	}
}

// TestNotBuiltListIsComplete finds fields of App Platform's spec that we would call unknown.
func TestNotBuiltListIsComplete(t *testing.T) {
	for _, c := range []struct{ theirs, ours reflect.Type }{
		{reflect.TypeFor[godo.AppSpec](), reflect.TypeFor[events.Spec]()},
		{reflect.TypeFor[godo.AppServiceSpec](), reflect.TypeFor[events.Component]()},
		{reflect.TypeFor[godo.AppWorkerSpec](), reflect.TypeFor[events.Component]()},
		{reflect.TypeFor[godo.ImageSourceSpec](), reflect.TypeFor[events.ImageSource]()},
		{reflect.TypeFor[godo.AppVariableDefinition](), reflect.TypeFor[events.Env]()},
		{reflect.TypeFor[godo.AppServiceSpecHealthCheck](), reflect.TypeFor[events.HealthCheck]()},
		{reflect.TypeFor[godo.AppServiceSpecTermination](), reflect.TypeFor[events.Termination]()},
		{reflect.TypeFor[godo.AppRouteSpec](), reflect.TypeFor[events.Route]()},
	} {
		for i := range c.theirs.NumField() {
			name, _, _ := strings.Cut(c.theirs.Field(i).Tag.Get("json"), ",")
			ours := reflect.New(c.ours).Elem()
			_, have := fieldByTag(ours, name)
			_, known := notBuilt[c.ours][name]
			if !have && !known && isAlias(ours, name) == "" {
				t.Errorf("%s.%s is neither read nor listed as not built", c.theirs.Name(), name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(hello))
	f.Add([]byte(`{"name":"a","services":[{"name":"web","image":{"repository":"x","tag":1.10}}]}`))
	f.Add([]byte("a: &a [*a]\nb: !!str x\n? x\n: y\n<<: {}\n"))
	f.Add([]byte("name: |\n  x\n y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			if _, ok := err.(Problems); !ok {
				t.Fatalf("a %T", err)
			}
			return
		}
		once, err := Check(s)
		if err != nil {
			return
		}
		twice, err := Check(once)
		if err != nil || once.Hash() != twice.Hash() {
			t.Fatalf("Check is not idempotent: %v\n%+v\n%+v", err, once, twice)
		}
		out, err := Render(once)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out)
		if err != nil || back.Hash() != once.Hash() {
			t.Fatalf("Render and Parse differ: %v\n%s", err, out)
		}
	})
}
