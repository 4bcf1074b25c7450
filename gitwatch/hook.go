package gitwatch

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"shiplog/events"
	"shiplog/internal/deliveries"
	"shiplog/internal/deploy"
)

// Limits of webhooks.
const (
	maxBody   = 25 << 20         // bytes of a delivery
	smallBody = 1 << 20          // bytes that any number of deliveries may take at once
	bodyTime  = 30 * time.Second // for the body to arrive
	hookTime  = 8 * time.Second  // for the answer: GitHub waits 10 s
	maxRefuse = 10               // deliveries with a bad signature recorded in a minute
)

// reply is the body of an answer to a delivery.
type reply struct {
	Verdict  string `json:"verdict"`
	Delivery string `json:"delivery,omitempty"`
	Message  string `json:"message,omitempty"`
}

// outcome is an answer: status and body.
type outcome struct {
	status int
	reply
	record deliveries.Verdict // kept among the deliveries that led to nothing; "" not
	after  int                // Retry-After, seconds
}

func answer(status int, verdict, format string, args ...any) outcome {
	return outcome{status: status, reply: reply{Verdict: verdict, Message: fmt.Sprintf(format, args...)}}
}

func (o outcome) recorded(v deliveries.Verdict) outcome {
	o.record = v
	return o
}

// GitHub serves POST /hooks/github/APP: GitHub's webhooks for one app. The signature is checked over the raw body before
// anything of it is read. Answers: 202 when the push is in the log, 200 for one that is there already, a ping, and what is
// ignored, 400 malformed, 401 bad signature, 404 no such app or no webhook, 413 over 25 MiB, 503 with Retry-After when
// the log is down. Every body is JSON with a verdict.
func (w *Watch) GitHub() http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), bodyTime+hookTime)
		defer cancel()
		d := deliveries.Delivery{Provider: "github", Event: cut(r.Header.Get("X-GitHub-Event"), maxName), At: w.Now()}
		o := w.github(ctx, rw, r, &d)
		o.Delivery = d.ID
		if o.record != "" && w.Recorder != nil {
			d.Verdict, d.Reason = o.record, o.Message
			if err := w.Recorder.Record(ctx, d); err != nil {
				w.Slog.Warn("could not record a delivery", "delivery", d.ID, slog.Any("error", err))
			}
		}
		if o.after > 0 {
			rw.Header().Set("Retry-After", fmt.Sprint(o.after))
		}
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("X-Content-Type-Options", "nosniff")
		rw.WriteHeader(o.status)
		_ = json.NewEncoder(rw).Encode(o.reply)
	})
}

func (w *Watch) github(ctx context.Context, rw http.ResponseWriter, r *http.Request, d *deliveries.Delivery) outcome {
	if r.Method != http.MethodPost {
		rw.Header().Set("Allow", http.MethodPost)
		return answer(http.StatusMethodNotAllowed, "refused", "deliveries are sent with POST")
	}
	unknown := answer(http.StatusNotFound, "refused", "there is no app of that id, or it has no webhook; shiplog hook APP shows the address")
	name, _ := strings.CutPrefix(r.URL.Path, "/hooks/github/")
	app, err := events.ParseID(name)
	if err != nil {
		return unknown
	}
	secrets, err := w.Secrets(ctx, app)
	if err != nil {
		w.Slog.Error("cannot read the secrets of a webhook", "app", app, slog.Any("error", err))
		return unavailable(err)
	}
	if len(secrets) == 0 {
		return unknown
	}
	body, release, err := w.body(ctx, rw, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return answer(http.StatusRequestEntityTooLarge, "refused", "a delivery can hold 25 MiB")
	case err != nil:
		return answer(http.StatusBadRequest, "malformed", "the body could not be read")
	}
	defer release()
	if !signed(r.Header.Get("X-Hub-Signature-256"), secrets, body) {
		o := answer(http.StatusUnauthorized, "refused", "X-Hub-Signature-256 does not fit the body: check the webhook's secret (shiplog hook APP)")
		if w.mayRecordRefusal() {
			d.App, o = app, o.recorded(deliveries.Unauthorized)
		}
		return o
	}
	sum := sha256.Sum256(body)
	d.App, d.ID = app, deliveryID(r.Header.Get("X-GitHub-Delivery"), sum)
	switch d.Event {
	case "ping":
		return answer(http.StatusOK, "ping", "the webhook works").recorded(deliveries.Ping)
	case "push":
		return w.push(ctx, d, r.Header.Get("Content-Type"), body, sum)
	}
	return answer(http.StatusOK, "ignored", "%q is not an event that deploys anything", d.Event).recorded(deliveries.Ignored)
}

// push records a push event's facts.
func (w *Watch) push(ctx context.Context, d *deliveries.Delivery, contentType string, body []byte, sum [sha256.Size]byte) outcome {
	p, repo, err := parseGitHub(contentType, body)
	if errors.Is(err, errIgnored) {
		return answer(http.StatusOK, "ignored", "%s", err).recorded(deliveries.Ignored)
	}
	if err != nil {
		return answer(http.StatusBadRequest, "malformed", "%s", cut(err.Error(), 500)).recorded(deliveries.Malformed)
	}
	p.Delivery, p.BodyHash = d.ID, hex.EncodeToString(sum[:])
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	state, err := w.Desk.State(ctx, d.App)
	if err != nil {
		return unavailable(err)
	}
	if !state.Exists() {
		return answer(http.StatusNotFound, "refused", "there is no app of that id").recorded(deliveries.NoApp)
	}
	urls := sources(state.Spec, repo)
	if len(urls) == 0 {
		return answer(http.StatusOK, "other repository", "no component of %s has %s/%s as its source", state.Name, repo.host, repo.path).recorded(deliveries.NoApp)
	}
	fresh := false
	for i, url := range urls {
		p.Repository, p.Change = url, i*1000 // one repository written in several ways is a source each
		res, err := w.Desk.Do(ctx, d.App, deploy.Order{
			ID: orderID(p), Actor: events.NewActor("push", p.Provider), At: w.Now(), Command: deploy.ReceivePush{Push: p},
		})
		if err != nil {
			return w.notTaken(d, err)
		}
		fresh = fresh || len(res.Recorded) > 0
	}
	if !fresh {
		return answer(http.StatusOK, "duplicate", "this delivery was received before").recorded(deliveries.Duplicate)
	}
	return answer(http.StatusAccepted, "received", "%s is recorded", p.Ref.Short())
}

// notTaken says why the mind or the log did not take a push.
func (w *Watch) notTaken(d *deliveries.Delivery, err error) outcome {
	var refusal *deploy.Refusal
	if !errors.As(err, &refusal) {
		w.Slog.Error("a delivery could not be recorded", "app", d.App, "delivery", d.ID, slog.Any("error", err))
		return unavailable(err)
	}
	if refusal.Code == deploy.CodeNotFound {
		return answer(http.StatusNotFound, "refused", "%s", refusal.Message)
	}
	return answer(http.StatusConflict, "refused", "%s", refusal.Message)
}

// unavailable is the answer when the log cannot take anything; redelivering later is right.
func unavailable(err error) outcome {
	o := answer(http.StatusServiceUnavailable, "unavailable", "the delivery could not be recorded; deliver it again later")
	o.after = 5
	if errors.Is(err, events.ErrFull) {
		o.Message, o.after = "the log is full; make room for it, then deliver again", 60
	}
	return o
}

// sources lists the clone URLs of a spec that are the repository, as the spec writes them, in its order.
func sources(spec events.Spec, repo repository) []string {
	var urls []string
	seen := map[string]bool{}
	for _, c := range spec.Components() {
		url, _, ok := c.Repository()
		if !ok || seen[url] {
			continue
		}
		if r, ok := parseRepository(url); ok && r == repo {
			seen[url] = true
			urls = append(urls, url)
		}
	}
	return urls
}

// signed reports whether a signature is the HMAC of the body under one of the secrets. Every secret is tried, so the time
// does not tell which one fits. An empty secret fits nothing.
func signed(header string, secrets []string, body []byte) bool {
	digits, ok := strings.CutPrefix(header, "sha256=")
	if !ok || len(digits) != 2*sha256.Size {
		return false
	}
	given, err := hex.DecodeString(digits)
	if err != nil {
		return false
	}
	good := false
	for _, s := range secrets {
		if s == "" {
			continue
		}
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write(body)
		if hmac.Equal(mac.Sum(nil), given) {
			good = true
		}
	}
	return good
}

// deliveryID is the sender's id of a delivery, or one made of the body where there is none that can be kept.
func deliveryID(header string, sum [sha256.Size]byte) string {
	if header != "" && header == events.HeaderSafe(header) {
		return header
	}
	return "body-" + hex.EncodeToString(sum[:])
}

// mayRecordRefusal lets a few deliveries with a bad signature be recorded: anybody can send those.
func (w *Watch) mayRecordRefusal() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := w.Now(); now.Sub(w.minute) >= time.Minute {
		w.minute, w.refused = now, 0
	}
	w.refused++
	return w.refused <= maxRefuse
}

// body reads a delivery's body. Few large ones are in memory at once; release gives back the place of one.
func (w *Watch) body(ctx context.Context, rw http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	if r.ContentLength > maxBody {
		return nil, nil, &http.MaxBytesError{Limit: maxBody}
	}
	control := http.NewResponseController(rw)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // not every server has deadlines
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	in := http.MaxBytesReader(rw, r.Body, maxBody)
	release = func() {}
	body, err = io.ReadAll(io.LimitReader(in, smallBody+1))
	if err != nil || len(body) <= smallBody {
		return body, release, err
	}
	select {
	case w.large <- struct{}{}:
		release = func() { <-w.large }
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		release()
		return nil, nil, err
	}
	return append(body, rest...), release, nil
}
