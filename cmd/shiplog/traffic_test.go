package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"shiplog/events"
)

// traffic is what people do to a service: pushes, rollbacks, unpins, restarts, each by somebody of their own.
type traffic struct {
	s    *site
	app  string // name
	id   string
	stop chan struct{}
	done sync.WaitGroup

	mu       sync.Mutex
	accepted []pushed // git reported these as taken
	commands []command
	refused  int          // pushes that git reported as failed
	no       int          // commands that were answered with a refusal
	lost     atomic.Int64 // answers that never came
}

// pushed is one ref of an accepted push.
type pushed struct {
	ref    string
	commit string
}

// command is an API command that was answered with success.
type command struct {
	what   string // "pin", "unpin", "restart"
	key    string // Idempotency-Key
	method string
	path   string
}

// cause is how the log names the command that led to an event: see the API's order ids.
func (c command) cause() string {
	return events.HeaderSafe("key:" + string(events.NamedID("idempotency-key", "token:admin", c.method, c.path, c.key)))
}

// dockerfile of the app under traffic: a step that runs, so that a build has processes, mounts and a network namespace.
const dockerfile = `FROM busybox AS work
COPY answer /answer
RUN sleep 0.4 && cat /answer
FROM scratch
COPY --from=work /answer /answer
COPY hello /
ENTRYPOINT ["/hello"]
`

// traffic starts it. The test ends it with end.
func (s *site) traffic(app string, r *repo, seed uint64) *traffic {
	t := &traffic{s: s, app: app, id: s.id(app), stop: make(chan struct{})}
	t.done.Go(func() { t.pushes(r, rand.New(rand.NewPCG(seed, 1))) })
	t.done.Go(func() { t.orders(rand.New(rand.NewPCG(seed, 2))) })
	s.t.Cleanup(t.end)
	return t
}

func (t *traffic) end() {
	select {
	case <-t.stop:
	default:
		close(t.stop)
	}
	t.done.Wait()
}

// pause waits a while; false when the traffic ends.
func (t *traffic) pause(d time.Duration) bool {
	select {
	case <-t.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// pushes makes commits and pushes them: mostly to main, sometimes with a tag and another branch in the same push, and
// sometimes, after a failure, the same commit again, as a person would.
func (t *traffic) pushes(r *repo, random *rand.Rand) {
	fresh := true
	for n := 1; ; n++ {
		if fresh {
			r.write("answer", fmt.Sprintf("push %d\n", n))
			if _, err := r.tryGit("commit", "-q", "-a", "-m", fmt.Sprintf("push %d", n)); err != nil {
				t.s.t.Errorf("commit: %v", err)
				return
			}
		}
		out, err := r.tryGit("rev-parse", "HEAD")
		commit := strings.TrimSpace(out)
		if err != nil {
			t.s.t.Errorf("rev-parse: %v", err)
			return
		}
		refs := []string{"refs/heads/main"}
		if random.IntN(4) == 0 {
			refs = append(refs, fmt.Sprintf("refs/tags/t%d", n), "refs/heads/side")
		}
		args := []string{"push", "-q", "shiplog"}
		for _, ref := range refs {
			args = append(args, "+HEAD:"+ref)
		}
		if _, err = r.tryGit(args...); err == nil {
			t.mu.Lock()
			for _, ref := range refs {
				t.accepted = append(t.accepted, pushed{ref, commit})
			}
			t.mu.Unlock()
		} else {
			t.mu.Lock()
			t.refused++
			t.mu.Unlock()
		}
		fresh = err == nil || random.IntN(2) == 0
		if !t.pause(time.Duration(max(0, random.IntN(2600)-600)) * time.Millisecond) { // a quarter follow at once
			return
		}
	}
}

// orders gives commands through the API. One whose answer is lost is sometimes given again under its key, and sometimes
// not: then nobody knows whether it was carried out.
func (t *traffic) orders(random *rand.Rand) {
	pinned := false // as far as its answers tell
	for n := 1; ; n++ {
		c := command{method: "POST", key: fmt.Sprintf("order-%d", n)}
		var body any
		switch turn := random.IntN(6); {
		case turn == 0:
			c.what, c.path = "restart", "/v2/apps/"+t.id+"/restart"
		case pinned && turn > 1:
			c.what, c.method, c.path = "unpin", "DELETE", "/v2/apps/"+t.id+"/pin"
		default:
			c.what, c.path = "pin", "/v2/apps/"+t.id+"/pin"
			body = map[string]any{"ref": fmt.Sprintf("v%d", 1+random.IntN(2)), "rollback": true, "reason": "a test"}
		}
		for try := 0; try < 20; try++ {
			status, err := t.s.give(c, body)
			if err == nil {
				t.mu.Lock()
				if status < 300 {
					t.commands = append(t.commands, c)
					pinned = c.what == "pin" || pinned && c.what != "unpin"
				} else if status < 500 {
					t.no++
				}
				t.mu.Unlock()
				if status < 500 {
					break
				}
			}
			t.lost.Add(1)
			if random.IntN(4) == 0 || !t.pause(300*time.Millisecond) {
				break
			}
		}
		if !t.pause(time.Duration(300+random.IntN(2200)) * time.Millisecond) {
			return
		}
	}
}

// give gives a command once. An error means that no answer came.
func (s *site) give(c command, body any) (status int, err error) {
	text := []byte{}
	if body != nil {
		if text, err = json.Marshal(body); err != nil {
			return 0, err
		}
	}
	req, err := http.NewRequest(c.method, s.url+c.path, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Idempotency-Key", c.key)
	res, err := (&http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var answer json.RawMessage
	if res.StatusCode < 300 && res.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
			return 0, err // an answer that was cut off is none
		}
	}
	return res.StatusCode, nil
}

// missing lists what was acknowledged and is not in the log exactly once: each accepted ref of a push has to be there as a
// received push of exactly that commit to exactly that ref, also when a later push overtook it before it was judged; each
// command as the one event that it makes. unanswered counts the refs of pushes that nobody was told of and that were
// recorded all the same; none of them may be there twice.
func (t *traffic) missing(l *logged, app events.ID) (found []string, unanswered int) {
	received, caused := map[pushed]int{}, map[[2]string]int{}
	for _, e := range l.events {
		if of, _ := e.Subject.App(); of != app {
			continue
		}
		if p, ok := e.Event.(events.PushReceived); ok {
			received[pushed{string(p.Ref), string(p.After)}]++
		}
		caused[[2]string{e.Cause, e.Type}]++
	}
	wanted := map[pushed]bool{}
	for _, p := range t.accepted {
		if wanted[p] = true; received[p] != 1 {
			found = append(found, fmt.Sprintf("the push of %s to %s was accepted and is in the log %d times", p.commit, p.ref, received[p]))
		}
	}
	for p, n := range received {
		if !wanted[p] {
			if unanswered++; n > 1 {
				found = append(found, fmt.Sprintf("the unanswered push of %s to %s is in the log %d times", p.commit, p.ref, n))
			}
		}
	}
	types := map[string]string{"pin": "Pinned", "unpin": "Unpinned", "restart": "DeploymentRequested"}
	for _, c := range t.commands {
		if n := caused[[2]string{c.cause(), types[c.what]}]; n != 1 {
			found = append(found, fmt.Sprintf("the command %s %s was acknowledged and is in the log %d times", c.what, c.key, n))
		}
	}
	return found, unanswered
}

// recorded fails the test for each of these.
func (t *traffic) recorded(test *testing.T, l *logged) {
	test.Helper()
	found, unanswered := t.missing(l, l.app(test, t.app).ID)
	for _, f := range found {
		test.Error(f)
	}
	test.Logf("traffic: %d refs accepted in pushes, %d pushes failed (%d refs of such were recorded all the same); %d commands acknowledged, %d refused, %d answers lost",
		len(t.accepted), t.refused, unanswered, len(t.commands), t.no, t.lost.Load())
}
