package builder

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
)

type credentials struct{}

func (credentials) Authorization() (*authn.AuthConfig, error) {
	return &authn.AuthConfig{Username: user, Password: password}, nil
}

func TestFirst(t *testing.T) {
	r := newRoom(t)
	t.Log(r.Warnings())
	job, log := r.job(map[string]string{"Dockerfile": "FROM busybox\nRUN unshare -U true; ls /sys/fs/cgroup; ls -l /proc/self/fd; echo hello > /hello; cat /proc/self/status; ip a; mount; cat /etc/resolv.conf; cat /etc/hosts; ls -la / /dev\n"})
	built := r.build(job)
	t.Logf("%+v\n%s", built, log)
	t.Log(r.files(built.Digest)["hello"])
}
