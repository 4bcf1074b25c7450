package spec

import (
	"reflect"
	"strings"
	"testing"

	"shiplog/events"
)

// good is a spec that uses everything.
func good() events.Spec {
	return events.Spec{
		Name: "shop", Region: "local",
		Services: []events.Component{
			{Name: "web", Git: &events.GitSource{RepoCloneURL: "https://git.example.com/team/shop.git", Branch: "feature/x"},
				SourceDir: "app", DockerfilePath: "app/Dockerfile.prod", BuildTarget: "run", HTTPPort: 3000, InstanceCount: 2,
				Routes: []events.Route{{Path: "/"}}, HealthCheck: &events.HealthCheck{HTTPPath: "/up", PeriodSeconds: 5},
				Envs: []events.Env{{Key: "MODE", Value: "production", Scope: "RUN_TIME", Type: "GENERAL"}}},
			{Name: "api", GitLab: &events.ForgeSource{Repo: "team/group/api", Branch: "v1.2"},
				Routes: []events.Route{{Path: "/api", PreservePathPrefix: true}}},
		},
		Workers: []events.Component{{Name: "mail", RunCommand: "mail --loop",
			Image: &events.ImageSource{Registry: "registry.example.com:5000", Repository: "team/mail",
				Digest: events.Digest("sha256:" + strings.Repeat("ab", 32))}}},
		Envs: []events.Env{{Key: "TOKEN", Value: "x", Type: "SECRET"}},
	}
}

func TestCheckAcceptsAndKeepsAGoodSpec(t *testing.T) {
	got, err := Check(good())
	if err != nil || !reflect.DeepEqual(got, good()) {
		t.Fatalf("%v\n%+v", err, got)
	}
}

func TestCheckNormalises(t *testing.T) {
	s := events.Spec{Name: "hello",
		Services: []events.Component{{Name: "web", GitHub: &events.ForgeSource{Repo: "team/hello.git", Branch: "main"},
			SourceDir: "/", DockerfilePath: "./docker//Dockerfile", Envs: []events.Env{{Key: "A", Scope: "UNSET"}}}},
		Workers: []events.Component{{Name: "mail", Image: &events.ImageSource{RegistryType: "UNSPECIFIED", Registry: "docker.io", Repository: "x"}}},
	}
	before := clone(s)
	got, err := Check(s)
	if err != nil {
		t.Fatal(err)
	}
	web := got.Services[0]
	if !reflect.DeepEqual(web.Routes, []events.Route{{Path: "/"}}) || web.SourceDir != "" || web.DockerfilePath != "docker/Dockerfile" ||
		web.GitHub.Repo != "team/hello" || web.Envs[0].Scope != "" || got.Workers[0].Image.RegistryType != "" || web.InstanceCount != 0 {
		t.Errorf("got %+v", got)
	}
	if !reflect.DeepEqual(s, before) {
		t.Error("the argument was changed")
	}
	if again, err := Check(got); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("a second Check changed it: %v %+v", err, again)
	}
}

func TestCheckRefuses(t *testing.T) {
	web := func(f func(*events.Component)) func(*events.Spec) {
		return func(s *events.Spec) { f(&s.Services[0]) }
	}
	gitURL := func(u string) func(*events.Spec) {
		return web(func(c *events.Component) { c.Git.RepoCloneURL = u })
	}
	branch := func(b string) func(*events.Spec) { return web(func(c *events.Component) { c.Git.Branch = b }) }
	mail := func(f func(*events.ImageSource)) func(*events.Spec) {
		return func(s *events.Spec) { f(s.Workers[0].Image) }
	}
	route := func(p string) func(*events.Spec) { return web(func(c *events.Component) { c.Routes[0].Path = p }) }
	for _, c := range []struct {
		want   string
		change func(*events.Spec)
	}{
		{"name: is missing", func(s *events.Spec) { s.Name = "" }},
		{"name: must be 2 to 32", func(s *events.Spec) { s.Name = "Shop" }},
		{"name: must be 2 to 32", func(s *events.Spec) { s.Name = "a" }},
		{"name: must be 2 to 32", func(s *events.Spec) { s.Name = strings.Repeat("a", 33) }},
		{"name: must be 2 to 32", func(s *events.Spec) { s.Name = "shop\n" }},
		{"there is nothing to run", func(s *events.Spec) { s.Services, s.Workers = nil, nil }},
		{`services[1].name: "web" is the name of services[0] already`, func(s *events.Spec) { s.Services[1].Name = "web" }},
		{`workers[0].name: "web" is the name of services[0] already`, func(s *events.Spec) { s.Workers[0].Name = "web" }},
		{"services[0]: has no source", web(func(c *events.Component) { c.Git = nil })},
		{"services[0]: has 2 sources", web(func(c *events.Component) { c.GitHub = &events.ForgeSource{Repo: "a/b", Branch: "c"} })},
		{"services[0].git.repo_clone_url: is missing", gitURL("")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("file:///etc")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("/etc")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("ext::sh -c id")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("ext::id")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("x@ext::id")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("git://example.com/x")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("-u@host:x")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("git@-oProxyCommand=id:x")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("git@host:--upload-pack=id")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("ssh://-oProxyCommand=id/x")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("https:///x")},
		{"services[0].git.repo_clone_url: must be an https://", gitURL("https://a.b/x\ny")},
		{"services[0].git.repo_clone_url: must not hold a user", gitURL("https://u:p@example.com/x.git")},
		{"services[0].git.repo_clone_url: must not hold a user", gitURL("https://ghp_token@example.com/x.git")},
		{"services[0].git.repo_clone_url: must not hold a password", gitURL("ssh://git:p@example.com/x.git")},
		{"services[0].git.repo_clone_url: must not hold a query", gitURL("https://example.com/x.git?ref=main")},
		{"services[0].git.repo_clone_url: must name a repository", gitURL("https://example.com/")},
		{"services[0].git.repo_clone_url: must name a repository", gitURL("https://example.com/a/../../b")},
		{"services[0].git.branch: is missing", branch("")},
		{"services[0].git.branch", branch("-x")},
		{"services[0].git.branch", branch("--upload-pack=id")},
		{"services[0].git.branch", branch("a..b")},
		{"services[0].git.branch", branch("a b")},
		{"services[1].gitlab.repo", func(s *events.Spec) { s.Services[1].GitLab.Repo = "noowner" }},
		{"services[1].gitlab.repo", func(s *events.Spec) { s.Services[1].GitLab.Repo = "a/../b" }},
		{"services[0].github.repo", web(func(c *events.Component) { c.Git, c.GitHub = nil, &events.ForgeSource{Repo: "a/b/c", Branch: "m"} })},
		{"workers[0].image: has a tag and a digest", mail(func(i *events.ImageSource) { i.Tag = "v1" })},
		{"workers[0].image.digest", mail(func(i *events.ImageSource) { i.Digest = "sha256:12" })},
		{"workers[0].image.tag", mail(func(i *events.ImageSource) { i.Digest, i.Tag = "", "a b" })},
		{"workers[0].image.repository: is missing", mail(func(i *events.ImageSource) { i.Repository = "" })},
		{"workers[0].image.repository", mail(func(i *events.ImageSource) { i.Repository = "Team/Mail" })},
		{"workers[0].image.repository", mail(func(i *events.ImageSource) { i.Repository = "mail:v1" })},
		{"workers[0].image.registry: is missing", mail(func(i *events.ImageSource) { i.Registry = "" })},
		{"workers[0].image.registry: must be a host", mail(func(i *events.ImageSource) { i.Registry = "http://x.y" })},
		{"workers[0].image.registry: must be a host", mail(func(i *events.ImageSource) { i.Registry = "nohost" })},
		{"workers[0].image.registry: is missing", mail(func(i *events.ImageSource) { i.RegistryType, i.Registry, i.Repository = "GHCR", "", "mail" })},
		{"workers[0].image.registry_type", mail(func(i *events.ImageSource) { i.RegistryType = "ECR" })},
		{"workers[0].source_dir: an image is not built", func(s *events.Spec) { s.Workers[0].SourceDir = "x" }},
		{"workers[0].http_port", func(s *events.Spec) { s.Workers[0].HTTPPort = 80 }},
		{"workers[0].routes", func(s *events.Spec) { s.Workers[0].Routes = []events.Route{{Path: "/w"}} }},
		{"workers[0].health_check", func(s *events.Spec) { s.Workers[0].HealthCheck = &events.HealthCheck{} }},
		{"workers[0].termination.drain_seconds", func(s *events.Spec) { s.Workers[0].Termination = &events.Termination{DrainSeconds: 1} }},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = "../Dockerfile" })},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = "http://example.com/Dockerfile" })},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = "-" })},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = "/-" })},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = "Dockerfile.in" })},
		{"services[0].dockerfile_path", web(func(c *events.Component) { c.DockerfilePath = ".GIT/hooks/x" })},
		{"services[0].source_dir", web(func(c *events.Component) { c.SourceDir = "a/../../b" })},
		{"services[0].source_dir", web(func(c *events.Component) { c.SourceDir = "a\x00" })},
		{"services[0].build_target", web(func(c *events.Component) { c.BuildTarget = "--x" })},
		{"services[0].run_command", web(func(c *events.Component) { c.RunCommand = "a\x00" })},
		{"services[0].instance_count: must be 1 to 250", web(func(c *events.Component) { c.InstanceCount = 251 })},
		{"services[0].instance_count: must be 1 to 250", web(func(c *events.Component) { c.InstanceCount = -1 })},
		{"services[0].http_port", web(func(c *events.Component) { c.HTTPPort = 70000 })},
		{"services[0].health_check.http_path", web(func(c *events.Component) { c.HealthCheck.HTTPPath = "up" })},
		{"services[0].health_check.http_path", web(func(c *events.Component) { c.HealthCheck.HTTPPath = "/a\r\nX: y" })},
		{"services[0].health_check.period_seconds", web(func(c *events.Component) { c.HealthCheck.PeriodSeconds = 301 })},
		{"services[0].health_check.port", web(func(c *events.Component) { c.HealthCheck.Port = -1 })},
		{"services[0].termination.grace_period_seconds", web(func(c *events.Component) { c.Termination = &events.Termination{GracePeriodSeconds: 601} })},
		{"services[0].routes: is missing", web(func(c *events.Component) { c.Routes = nil })},
		{"services[0].routes[0].path: is missing", route("")},
		{"services[0].routes[0].path", route("api")},
		{"services[0].routes[0].path", route("//")},
		{"services[0].routes[0].path", route("/a/../b")},
		{"services[0].routes[0].path", route("/a%2f")},
		{"services[0].routes[0].path", route("/a?b")},
		{"services[1].routes[0].path: /api is the path of services[0].routes[0] already", route("/api/")},
		{"services[0].envs[0].key: is missing", web(func(c *events.Component) { c.Envs[0].Key = "" })},
		{"services[0].envs[0].key", web(func(c *events.Component) { c.Envs[0].Key = "A-B" })},
		{"services[0].envs[0].key", web(func(c *events.Component) { c.Envs[0].Key = "1A" })},
		{"services[0].envs[1].key: MODE is given twice", web(func(c *events.Component) { c.Envs = append(c.Envs, c.Envs[0]) })},
		{"services[0].envs[0].scope", web(func(c *events.Component) { c.Envs[0].Scope = "ALWAYS" })},
		{"services[0].envs[0].type", web(func(c *events.Component) { c.Envs[0].Type = "TOKEN" })},
		{"services[0].envs[0].value: must not hold a NUL", web(func(c *events.Component) { c.Envs[0].Value = "\x00" })},
		{"services[0].envs[0].value: references", web(func(c *events.Component) { c.Envs[0].Value = "http://${api.HOSTNAME}/" })},
		{"services[0].envs[0].value: references", web(func(c *events.Component) { c.Envs[0].Value = "${APP_URL}" })},
		{"envs[0].value: is missing: TOKEN is a SECRET", func(s *events.Spec) { s.Envs[0].Value = "" }},
		{"region", func(s *events.Spec) { s.Region = "a b" }},
		{"features[0]", func(s *events.Spec) { s.Features = []string{""} }},
		{"it takes", func(s *events.Spec) { s.Envs[0].Value = strings.Repeat("x", MaxBytes) }},
	} {
		s := good()
		c.change(&s)
		_, err := Check(s)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) && !strings.Contains(err.Error(), "\n"+c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func TestCheckAccepts(t *testing.T) {
	commit := strings.Repeat("ab", 20)
	for name, change := range map[string]func(*events.Spec){
		"commit as branch": func(s *events.Spec) { s.Services[0].Git.Branch = commit },
		"scp url":          func(s *events.Spec) { s.Services[0].Git.RepoCloneURL = "git@example.com:team/x.git" },
		"ssh url":          func(s *events.Spec) { s.Services[0].Git.RepoCloneURL = "ssh://git@example.com:2222/team/x.git" },
		"local http":       func(s *events.Spec) { s.Services[0].Git.RepoCloneURL = "http://127.0.0.1:8080/git/x.git" },
		"ipv6":             func(s *events.Spec) { s.Services[0].Git.RepoCloneURL = "http://[::1]:8080/git/x.git" },
		"foreign ${}":      func(s *events.Spec) { s.Services[0].Envs[0].Value = "${HOME} ${other.KEY} $${x}" },
		"localhost": func(s *events.Spec) {
			s.Workers[0].Image = &events.ImageSource{Registry: "localhost:5000", Repository: "x"}
		},
		"sealed secret": func(s *events.Spec) { s.Envs[0].Value = "EV[1:abc:def]" },
	} {
		s := good()
		change(&s)
		if _, err := Check(s); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImageRef(t *testing.T) {
	d := events.Digest("sha256:" + strings.Repeat("ab", 32))
	for _, c := range []struct {
		in         events.ImageSource
		repository string
		tag        string
	}{
		{events.ImageSource{RegistryType: "DOCKER_HUB", Repository: "nginx"}, "docker.io/library/nginx", "latest"},
		{events.ImageSource{RegistryType: "DOCKER_HUB", Registry: "library", Repository: "nginx", Tag: "1.27"}, "docker.io/library/nginx", "1.27"},
		{events.ImageSource{RegistryType: "DOCKER_HUB", Repository: "team/x"}, "docker.io/team/x", "latest"},
		{events.ImageSource{RegistryType: "GHCR", Registry: "team", Repository: "x", Digest: d}, "ghcr.io/team/x", ""},
		{events.ImageSource{RegistryType: "DOCR", Registry: "team", Repository: "x"}, "registry.digitalocean.com/team/x", "latest"},
		{events.ImageSource{Registry: "index.docker.io", Repository: "nginx"}, "docker.io/library/nginx", "latest"},
		{events.ImageSource{Registry: "docker.io", Repository: "team/x"}, "docker.io/team/x", "latest"},
		{events.ImageSource{Registry: "127.0.0.1:5000", Repository: "a/b/c", Tag: "v1"}, "127.0.0.1:5000/a/b/c", "v1"},
	} {
		repository, tag, digest := ImageRef(events.Component{Image: &c.in})
		if repository != c.repository || tag != c.tag || digest != c.in.Digest {
			t.Errorf("%+v: got %s %s %s", c.in, repository, tag, digest)
		}
	}
	if repository, _, _ := ImageRef(events.Component{Git: &events.GitSource{}}); repository != "" {
		t.Errorf("a git source has the image %s", repository)
	}
}

func TestDefaults(t *testing.T) {
	c := events.Component{HTTPPort: 3000, HealthCheck: &events.HealthCheck{HTTPPath: "/up", FailureThreshold: 2}}
	if got, want := Health(c), (events.HealthCheck{HTTPPath: "/up", Port: 3000, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 2}); got != want {
		t.Errorf("got %+v", got)
	}
	if got, want := Health(events.Component{}), (events.HealthCheck{Port: 8080, PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 9}); got != want {
		t.Errorf("got %+v", got)
	}
	if got, want := Termination(events.Component{}), (events.Termination{DrainSeconds: 15, GracePeriodSeconds: 120}); got != want {
		t.Errorf("got %+v", got)
	}
	if Instances(events.Component{}) != 1 || Instances(events.Component{InstanceCount: 3}) != 3 {
		t.Error("instances")
	}
}

func TestRenderIsTheInverseOfParse(t *testing.T) {
	s := good()
	for _, v := range []string{"", " lead", "trail ", "yes", "null", "~", "0x1F", "1e3", "a: b", "# no", "'", `"`, "a\nb", "a\nb\n", "\n", "\n\n x", "tab\there",
		"*x", "&x", "!x", "%x", "@x", "`x", "|", ">", "-", "- a", "{}", "[]", "é\u2028", "\x01", "\r\n", "EV[1:a:b]", "line: |\n  x"} {
		s.Services[0].Envs[0].Value = v
		out, err := Render(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Parse(out)
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Errorf("%q: %v\n%s", v, err, out)
		}
	}
	s.Services[0].Envs[0].Value = "plain"
	out, _ := Render(s)
	if !strings.HasPrefix(string(out), "name: shop\nregion: local\nservices:\n- name: web\n") {
		t.Errorf("it does not read like a spec:\n%s", out)
	}
}

func TestDiff(t *testing.T) {
	a, b := good(), good()
	a.Envs[0].Value = "EV[1:one]"
	b.Envs[0].Value = "plain-canary"
	b.Services[0].Git.Branch = "main"
	b.Services[0].Envs = append(b.Services[0].Envs, events.Env{Key: "NEW", Value: "1"})
	b.Services[0], b.Services[1] = b.Services[1], b.Services[0]
	b.Workers = nil
	got := map[string]Change{}
	for _, c := range Diff(a, b) {
		got[c.Path] = c
	}
	for path, want := range map[string][2]string{
		"services[web].git.branch":      {"feature/x", "main"},
		"services[web].envs[NEW].value": {"", "1"},
		"envs[TOKEN].value":             {"EV[1:one]", "(secret)"},
		"workers[mail].run_command":     {"mail --loop", ""},
	} {
		if c := got[path]; c.From != want[0] || c.To != want[1] {
			t.Errorf("%s: got %+v", path, c)
		}
	}
	if _, moved := got["services[api].name"]; moved || len(Diff(a, a)) != 0 {
		t.Error("what did not change is in the diff")
	}
}
