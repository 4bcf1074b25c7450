package ingress

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"
)

// Health is who answers on a control socket.
type Health struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"` // of the program
	Listen  string    `json:"listen"`  // the address that requests come in at
	Started time.Time `json:"started"`
	Apps    int       `json:"apps"`
}

// Drained is the answer to a drain.
type Drained struct {
	Left int64 `json:"left"` // requests still in flight when the time was over; 0: all done
}

type drainRequest struct {
	Backends  []string `json:"backends"`
	TimeoutMs int64    `json:"timeout_ms"`
}

// maxControlBody is far more than one app's routes take.
const maxControlBody = 1 << 20

// control answers on the unix socket. Its mode is 0600: who can open it may do everything.
func control(p *proxy, health func() Health, quit func()) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /apps/{id}", func(w http.ResponseWriter, r *http.Request) {
		var a AppRoutes
		if !read(w, r, &a) {
			return
		}
		if a.App != r.PathValue("id") {
			reply(w, http.StatusUnprocessableEntity, "the routes are of another app than the address")
			return
		}
		answer(w, p.router.set(a))
	})
	mux.HandleFunc("DELETE /apps/{id}", func(w http.ResponseWriter, r *http.Request) {
		generation, err := strconv.ParseUint(r.FormValue("generation"), 10, 64)
		if err != nil {
			reply(w, http.StatusUnprocessableEntity, "generation is missing")
			return
		}
		answer(w, p.router.remove(r.PathValue("id"), generation))
	})
	mux.HandleFunc("GET /table", func(w http.ResponseWriter, _ *http.Request) { send(w, p.router.list()) })
	mux.HandleFunc("POST /drain", func(w http.ResponseWriter, r *http.Request) {
		var d drainRequest
		if !read(w, r, &d) {
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Duration(d.TimeoutMs)*time.Millisecond)
		defer cancel()
		left := p.router.drain(ctx, d.Backends)
		p.balancer.closeIdle() // so that an app that waits for its connections can stop at once
		send(w, Drained{left})
	})
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { send(w, health()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		p.write(w)
	})
	mux.HandleFunc("POST /quit", func(w http.ResponseWriter, _ *http.Request) {
		send(w, map[string]int{"pid": os.Getpid()})
		quit()
	})
	return mux
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err := dec.Decode(into); err != nil {
		reply(w, http.StatusUnprocessableEntity, "the body cannot be read: "+err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, err error) {
	switch {
	case err == nil:
		send(w, struct{}{})
	case errors.Is(err, ErrStale), errors.Is(err, ErrHostTaken):
		reply(w, http.StatusConflict, err.Error())
	case errors.Is(err, errClosed):
		reply(w, http.StatusServiceUnavailable, err.Error())
	case errors.As(err, new(*os.PathError)), errors.As(err, new(*os.LinkError)):
		reply(w, http.StatusInternalServerError, err.Error())
	default:
		reply(w, http.StatusUnprocessableEntity, err.Error())
	}
}

// failure is the body of a refusal.
type failure struct {
	Error string `json:"error"`
}

func reply(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(failure{message})
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
