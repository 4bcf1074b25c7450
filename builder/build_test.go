package builder

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"shiplog/events"
	"shiplog/internal/inet"
)

func TestBuildMultiStage(t *testing.T) {
	r := newRoom(t)
	job, log := r.job(map[string]string{
		"app/Dockerfile": "ARG BASE=nothing\nFROM ${BASE} AS make\nARG WHO\nCOPY in.txt /in.txt\nRUN echo $WHO > /out.txt && cat /in.txt >> /out.txt\n" +
			"FROM busybox AS other\nRUN echo other > /other.txt\n" +
			"FROM scratch AS last\nCOPY --from=make /out.txt /out.txt\nLABEL a=b\nENTRYPOINT [\"/out.txt\"]\n",
		"app/in.txt": "from the tree\n",
	})
	job.Dir, job.Args, job.SecretVersions = "app", map[string]string{"WHO": "world", "BASE": "docker.io/library/busybox:latest"}, map[string]string{"npm": "npm/3"}
	built := r.build(job)
	want(t, log.String(), "COPY in.txt")
	if got := r.files(built.Digest); got["out.txt"] != "world\nfrom the tree\n" || got["other.txt"] != "" {
		t.Errorf("files of the image: %q", got)
	}
	config := must(t)(r.pushed(built.Digest).ConfigFile())
	if config.Config.Labels["a"] != "b" || config.Config.Entrypoint[0] != "/out.txt" || config.Created.UTC() != commitTime.Add('a'*1e9) {
		t.Errorf("configuration of the image: %+v", config)
	}
	if m, err := r.pushed(built.Digest).Manifest(); err != nil || m.MediaType != "application/vnd.oci.image.manifest.v1+json" {
		t.Errorf("manifest: %+v, %v", m, err)
	}
	tagged, err := name.ParseReference(job.Destination)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := remote.Head(tagged, remote.WithAuth(credentials{})); err != nil || d.Digest.String() != string(built.Digest) {
		t.Errorf("the tag leads to %v, %v; want %s", d, err, built.Digest)
	}

	in := built.Inputs
	base := r.mirrorDigest()
	if in.Tree != strings.Repeat("7", 40) || len(in.Dockerfile) != 64 || in.Args["WHO"] != "world" || in.Secrets["npm"] != "npm/3" ||
		in.Bases["docker.io/library/busybox:latest"] != base || in.Platform != "linux/amd64" && in.Platform != "linux/arm64" ||
		!strings.HasPrefix(in.Builder, "shiplog test buildah 1.") || in.SourceEpoch != config.Created.Unix() {
		t.Errorf("inputs: %+v (base %s)", in, base)
	}
	var phases []string
	for _, p := range built.Phases {
		phases = append(phases, p.Name)
	}
	if strings.Join(phases, " ") != "checkout build push" {
		t.Errorf("phases: %v", built.Phases)
	}

	job.Target = "other"
	built = r.build(job)
	if got := r.files(built.Digest); got["other.txt"] != "other\n" || got["out.txt"] != "" {
		t.Errorf("files of the target: %q", got)
	}
	if built.Inputs.Target != "other" || built.Inputs.Bases["busybox"] != base {
		t.Errorf("inputs of the target: %+v", built.Inputs)
	}
	// The base's layer is the mirror's: other images share it.
	have, err1 := r.pushed(built.Digest).Layers()
	theirs, err2 := busybox(t).Layers()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	a, _ := have[0].DiffID()
	if b, _ := theirs[0].DiffID(); a != b {
		t.Errorf("the base's layer is %s, was %s", a, b)
	}
	job.Target = "nowhere"
	want(t, r.fails(job).Reason, "nowhere")
}

func (r *room) mirrorDigest() events.Digest {
	r.t.Helper()
	d, err := busybox(r.t).Digest()
	if err != nil {
		r.t.Fatal(err)
	}
	return events.Digest(d.String())
}

func TestCacheAndDigest(t *testing.T) {
	r := newRoom(t)
	files := map[string]string{"Dockerfile": "FROM busybox\nRUN head -c 64 /dev/urandom > /random\nCOPY a /a\nRUN echo fixed > /b\n", "a": "1\n"}
	job, log := r.job(files)
	first := r.build(job)
	wantNot(t, log.String(), "Using cache")

	job, log = r.job(files)
	if second := r.build(job); second.Digest != first.Digest {
		t.Errorf("with cache: %s, then %s", first.Digest, second.Digest)
	}
	want(t, log.String(), "Using cache")

	// The next commit changes a file: what comes before it in the Dockerfile is not run again.
	job, log = r.job(map[string]string{"Dockerfile": files["Dockerfile"], "a": "2\n"})
	job.Revision.Commit = events.Commit(strings.Repeat("b", 40))
	next := r.build(job)
	if n := strings.Count(log.String(), "Using cache"); n != 1 {
		t.Errorf("the next commit took %d steps from the cache, want 1:\n%s", n, log)
	}
	if a, b := r.files(first.Digest), r.files(next.Digest); a["random"] != b["random"] || a["a"] == b["a"] {
		t.Errorf("the next commit has other layers than it should")
	}

	job, log = r.job(files)
	job.NoCache = true
	if again := r.build(job); again.Digest == first.Digest {
		t.Errorf("without cache /random is what it was")
	}
	wantNot(t, log.String(), "Using cache")

	if err := r.ClearCache(t.Context()); err != nil {
		t.Fatal(err)
	}
	job, log = r.job(files)
	r.build(job)
	wantNot(t, log.String(), "Using cache")
}

func TestOneCommitOneDigest(t *testing.T) {
	files := map[string]string{"Dockerfile": "FROM busybox\nWORKDIR /w\nCOPY . .\nRUN mkdir d && date > /dev/null && echo x > d/x && touch y\n", "a": "1\n"}
	r := newRoom(t)
	job, _ := r.job(files)
	job.NoCache = true
	one := r.build(job)
	two := r.build(job)
	// Another machine: nothing in the storage, another registry.
	s := newRoom(t)
	job, _ = s.job(files)
	three := s.build(job)
	if one.Digest != two.Digest || one.Digest != three.Digest {
		t.Errorf("digests of one commit: %s, %s, %s", one.Digest, two.Digest, three.Digest)
	}
}

func TestSecrets(t *testing.T) {
	r := newRoom(t)
	const canary = "canary-9b1c7e"
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=secret,id=token cat /run/secrets/token | sha256sum > /sum\n" +
		"RUN --mount=type=secret,id=token,env=TOKEN test -n \"$TOKEN\"\nRUN ls -R /run > /run.txt\n"})
	job.Secrets = map[string][]byte{"token": []byte(canary)}
	built := r.build(job)
	image := r.pushed(built.Digest)
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	files := r.files(built.Digest)
	if !strings.HasPrefix(files["sum"], "d06d3dcb") && len(files["sum"]) != 68 {
		t.Errorf("the step did not get the secret: %q", files["sum"])
	}
	everything := log.String() + string(config)
	for name, text := range files {
		everything += name + text
	}
	wantNot(t, everything, canary, password)
	r.notOnDisk(canary, password)
}

// notOnDisk fails the test when a file of the room has one of the texts.
func (r *room) notOnDisk(texts ...string) {
	r.t.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, text := range texts {
			if strings.Contains(string(data), text) {
				r.t.Errorf("%q is in %s", text, path)
			}
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestFailures(t *testing.T) {
	r := newRoom(t)
	for name, c := range map[string]struct {
		files  map[string]string
		change func(*Job)
		reason []string
		step   string
		retry  bool
	}{
		"a step fails": {map[string]string{"Dockerfile": "FROM busybox\n\nRUN true\nRUN echo oops >&2; false\n"}, nil,
			[]string{"Dockerfile:4", "RUN echo oops", "exit status 1", "log"}, "build", false},
		"no Dockerfile": {map[string]string{"x": ""}, nil, []string{`no Dockerfile at "Dockerfile"`, "dockerfile_path"}, "build", false},
		"a file is missing": {map[string]string{"Dockerfile": "FROM busybox\nCOPY nothere /\n"}, nil,
			[]string{"Dockerfile:2", "COPY nothere", "no such file"}, "build", false},
		"not a Dockerfile": {map[string]string{"Dockerfile": "hello\n"}, nil, []string{"Dockerfile"}, "build", false},
		"ssh mount": {map[string]string{"Dockerfile": "FROM busybox\nRUN --mount=type=ssh true\n"}, nil,
			[]string{"Dockerfile:2", "type=ssh", "secret"}, "build", false},
		"the preprocessor": {map[string]string{"Dockerfile.in": "FROM busybox\n"}, func(j *Job) { j.Dockerfile = "Dockerfile.in" },
			[]string{".in"}, "build", false},
		"the git server": {nil, func(j *Job) {
			j.Source.Local, j.Source.URL, j.Source.Allow = "", "http://127.0.0.1:1/x.git", inet.Prefixes("127.0.0.0/8")
		}, []string{"check out main@sha1:aaa", "Check the git server"}, "checkout", true},
		"a source on this machine": {nil, func(j *Job) { j.Source.Local, j.Source.URL = "", "http://127.0.0.1:1/x.git" },
			[]string{"--source-allow"}, "checkout", false},
		"the password": {map[string]string{"Dockerfile": "FROM busybox\n"}, func(j *Job) { j.Password = "wrong" },
			[]string{"push to", "credentials"}, "push", false},
		"the registry": {map[string]string{"Dockerfile": "FROM busybox\n"}, func(j *Job) { j.Destination = "127.0.0.1:1/app/web:d-1" },
			[]string{"push to 127.0.0.1:1", "connection refused", "registry is running"}, "push", true},
	} {
		t.Run(name, func(t *testing.T) {
			job, log := r.job(c.files)
			if c.change != nil {
				c.change(&job)
			}
			f := r.fails(job)
			want(t, f.Reason, c.reason...)
			wantNot(t, f.Reason+log.String(), password, "wrong")
			if f.Step != c.step || f.Retry != c.retry {
				t.Errorf("step %q, retry %t; want %q, %t: %s", f.Step, f.Retry, c.step, c.retry, f.Reason)
			}
		})
	}
}

func TestBuildFromRepository(t *testing.T) {
	r := newRoom(t)
	dir := r.tree(map[string]string{"Dockerfile": "FROM scratch\nCOPY . /\n", "a": "1\n"})
	git := func(args ...string) string {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=n", "-c", "user.email=e"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1750000000 +0000")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	git("clone", "-q", "--bare", dir, dir+"/bare.git")
	job, _ := r.job(nil)
	job.Source.Local = dir + "/bare.git"
	job.Revision.Commit = events.Commit(git("rev-parse", "HEAD"))
	built := r.build(job)
	if built.Inputs.Tree != git("rev-parse", "HEAD^{tree}") || built.Inputs.SourceEpoch != 1_750_000_000 || r.files(built.Digest)["a"] != "1\n" {
		t.Errorf("built %+v", built)
	}
	job.Revision.Commit = events.Commit(strings.Repeat("9", 40))
	if f := r.fails(job); f.Step != "checkout" || f.Retry || !strings.Contains(f.Reason, "not on the server") {
		t.Errorf("a commit that is not there: %+v", f)
	}
}

func TestNoSuchBase(t *testing.T) {
	r := newRoom(t)
	job, _ := r.job(map[string]string{"Dockerfile": "FROM nosuchimage\n"})
	want(t, r.fails(job).Reason, "nosuchimage", "base image")
	// A registry that is down is worth another attempt.
	r.opts.Mirrors = map[string]string{"registry.test": "http://127.0.0.1:1"}
	if err := writeConfig(r.opts.Storage, r.opts.Mirrors); err != nil {
		t.Fatal(err)
	}
	job, _ = r.job(map[string]string{"Dockerfile": "FROM registry.test/x\n"})
	if f := r.fails(job); !f.Retry || !strings.Contains(f.Reason, "connection refused") {
		t.Errorf("a registry that is down: %+v", f)
	}
	for text, retry := range map[string]bool{"manifest unknown": false, "requested access to the resource is denied": false, "dial tcp: connection refused": true,
		"received unexpected HTTP status: 503 Service Unavailable": true, "FROM requires either one or three arguments": false} {
		if got := buildFailure(dockerfile{name: "D"}, errors.New(text)); got.Retry != retry {
			t.Errorf("%q: retry %t", text, got.Retry)
		}
	}
}

func TestCacheMount(t *testing.T) {
	r := newRoom(t)
	file := "FROM busybox\nRUN --mount=type=cache,target=/cache echo $N >> /cache/n; cat /cache/n > /n\n"
	job, _ := r.job(map[string]string{"Dockerfile": file})
	job.NoCache = true
	r.build(job)
	if got := r.files(r.build(job).Digest)["n"]; got != "\n\n" {
		t.Errorf("the cache mount had %q after two builds", got)
	}
	job.Destination = strings.Replace(job.Destination, "/app/", "/app2/", 1)
	built, err := r.Build(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	r.repository = "app2/web"
	if got := r.files(built.Digest)["n"]; got != "\n" {
		t.Errorf("another app's first build finds %q in the cache mount", got)
	}
}
