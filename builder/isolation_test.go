package builder

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRunSeesNothingOfTheHost(t *testing.T) {
	r := newRoom(t)
	const canary = "canary-55e0aa"
	for _, name := range []string{"admin.token", "nats", "keys"} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(canary), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	job, log := r.job(map[string]string{"app/Dockerfile": "FROM busybox\n" +
		"RUN --mount=type=bind,source=/,target=/ctx find /ctx -type f | sort > /ctx.txt; cat /ctx/up/* /ctx/abs/* > /up.txt 2>&1; true\n" +
		"RUN --mount=type=bind,source=../..,target=/ctx2 find /ctx2 -type f > /ctx2.txt\n" +
		"RUN find / -name admin.token -o -name '*.sock' -o -name docker* > /found.txt 2>/dev/null; true\n" +
		"RUN cat " + r.dir + "/admin.token > /direct.txt 2>&1; cat /proc/1/root" + r.dir + "/admin.token >> /direct.txt 2>&1; true\n" +
		"RUN ls -d /proc/[0-9]* | wc -l > /processes.txt; ls -l /proc/self/fd > /fd.txt; cat /proc/self/status > /status.txt; cat /etc/hosts > /hosts.txt\n" +
		"RUN mount -t tmpfs none /tmp > /mount.txt 2>&1; unshare -U true >> /mount.txt 2>&1; ls -A /sys/fs/cgroup >> /mount.txt 2>&1; echo 1 > /proc/sys/kernel/panic; true\n" +
		"RUN env > /env.txt\n",
		"app/in.txt": "in\n", "outside.txt": "outside\n"})
	for name, to := range map[string]string{"up": "../../../../../" + r.dir, "abs": r.dir} {
		if err := os.Symlink(to, filepath.Join(job.Source.Local, "app", name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("SERVICE_TOKEN", canary)
	job.Dir = "app"
	built := r.build(job)
	files := r.files(built.Digest)
	everything := log.String()
	for _, text := range files {
		everything += text
	}
	wantNot(t, everything, canary, "SERVICE_TOKEN", password)
	if files["ctx.txt"] != "/ctx/Dockerfile\n/ctx/in.txt\n" {
		t.Errorf("the bind mount of / shows %q", files["ctx.txt"])
	}
	wantNot(t, files["ctx2.txt"], "outside.txt", "admin.token", "passwd")
	if files["found.txt"] != "" {
		t.Errorf("found %q", files["found.txt"])
	}
	if n := strings.TrimSpace(files["processes.txt"]); n != "2" && n != "3" && n != "4" {
		t.Errorf("a step sees %s processes", n)
	}
	if n := strings.Count(files["fd.txt"], "->"); n > 4 {
		t.Errorf("a step has open files:\n%s", files["fd.txt"])
	}
	want(t, files["status.txt"], "Seccomp:\t2", "CapBnd:\t00000000800405fb")
	if n := strings.Count(files["mount.txt"], "not permitted") + strings.Count(files["mount.txt"], "permission denied"); n != 2 || strings.Count(files["mount.txt"], "\n") != 2 {
		t.Errorf("mount, unshare and the cgroups: %q", files["mount.txt"])
	}
	if host, err := os.Hostname(); err == nil {
		wantNot(t, files["hosts.txt"]+files["env.txt"], "\t"+host+"\n", "="+host+"\n")
	}
}

func TestHostileDockerfiles(t *testing.T) {
	r := newRoom(t)
	const canary = "canary-77b1f0"
	secret := filepath.Join(r.dir, "admin.token")
	if err := os.WriteFile(secret, []byte(canary), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file string
		link string // of the context, to the secret
	}{
		"COPY of a link":           {"FROM busybox\nCOPY link /x\nRUN cat /x\n", "link"},
		"ADD of a link":            {"FROM busybox\nADD link /x\nRUN cat /x\n", "link"},
		"COPY of the host":         {"FROM busybox\nCOPY " + secret + " /x\nRUN cat /x\n", ""},
		"COPY above the tree":      {"FROM busybox\nCOPY ../../../../../../.." + secret + " /x\nRUN cat /x\n", ""},
		"bind of a link":           {"FROM busybox\nRUN --mount=type=bind,source=link,target=/x cat /x\n", "link"},
		"bind from the host":       {"FROM busybox\nRUN --mount=type=bind,from=" + r.dir + ",target=/x cat /x/admin.token\n", ""},
		"a directory as the base":  {"FROM dir:" + r.dir + "\nRUN cat /admin.token\n", ""},
		"the storage as the base":  {"FROM oci:" + filepath.Join(r.dir, "storage") + "\n", ""},
		"WORKDIR in descriptors":   {"FROM busybox\nWORKDIR /proc/self/fd/7\nRUN cat ../../../.." + secret + "\n", ""},
		"the Dockerfile as a link": {"", "Dockerfile"},
		"the ignore file":          {"FROM busybox\nCOPY . /\nRUN false\n", ".dockerignore"},
		"the engine's socket":      {"FROM docker-daemon:busybox:latest\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			files := map[string]string{"Dockerfile": c.file, "a": "a\n"}
			if c.file == "" {
				delete(files, "Dockerfile")
			}
			job, log := r.job(files)
			if c.link != "" {
				if err := os.Symlink(secret, filepath.Join(job.Source.Local, c.link)); err != nil {
					t.Fatal(err)
				}
			}
			f := r.fails(job)
			wantNot(t, f.Reason+log.String(), canary)
		})
	}
}

func TestHideCoversWhatIsInside(t *testing.T) {
	// /usr is visible, so a data directory below it must be covered.
	dir, err := os.MkdirTemp("/usr/local", "shiplog-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte("canary-0d"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRoom(t, func(o *Options) { o.Hide = []string{dir, "/usr/bin/env", "/nowhere"} })
	// A directory of the child's file system is the one thing that a Dockerfile can name: as the source of an image.
	job, _ := r.job(map[string]string{"Dockerfile": "FROM oci-archive:" + dir + "/admin.token\n"})
	hidden := r.fails(job).Reason
	r.opts.Hide = nil
	seen := r.fails(job).Reason
	if hidden == seen || !strings.Contains(hidden, "no such file") {
		t.Errorf("hidden: %s\nnot hidden: %s", hidden, seen)
	}
}
