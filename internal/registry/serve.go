package registry

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// ServeHTTP answers one request of the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	user, pass, _ := req.BasicAuth()
	given := credentialSum(user, pass)
	if subtle.ConstantTimeCompare(given[:], r.sum[:]) != 1 {
		refuse(w)
		return
	}
	req.Header.Del("Authorization")
	if req.Method == http.MethodGet || req.Method == http.MethodHead {
		r.app.ServeHTTP(w, req) // unwrapped, so that blobs are sent by the kernel
		return
	}
	rec := &recorder{ResponseWriter: w}
	if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/manifests/") {
		rec.before = r.sync
	}
	r.app.ServeHTTP(rec, req)
	if rec.status >= 500 {
		r.log.Warn("the image registry could not store something", "method", req.Method, "path", req.URL.Path, "status", rec.status)
	}
}

// sync brings everything pushed so far to the disk. The registry itself syncs the files it writes but not their
// directories, and an image is recorded in the log as soon as its manifest is accepted.
func (r *Registry) sync() error {
	d, err := os.Open(r.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

func refuse(w http.ResponseWriter) {
	h := w.Header()
	h.Set("WWW-Authenticate", `Basic realm="shiplog", charset="UTF-8"`)
	h.Set("Docker-Distribution-API-Version", "registry/2.0")
	h.Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"the registry needs its user and password"}]}`+"\n")
}

// credentialSum hashes the pair, so that comparing takes the same time whatever the lengths.
func credentialSum(user, password string) [sha256.Size]byte {
	return sha256.Sum256([]byte(user + "\x00" + password))
}

// recorder notes the status of an answer. A success is held back until before has run; its error makes the answer 500.
type recorder struct {
	http.ResponseWriter
	before func() error
	status int
	failed bool // the answer was replaced; its body is dropped
}

func (r *recorder) WriteHeader(status int) {
	if r.before != nil && status < 300 && status >= 200 {
		if err := r.before(); err != nil {
			r.failed, r.status = true, http.StatusInternalServerError
			http.Error(r.ResponseWriter, "sync: "+err.Error(), r.status)
			return
		}
	}
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.failed {
		return len(b), nil
	}
	return r.ResponseWriter.Write(b)
}
