package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// failure is an answer other than 2xx. Its message is for people.
type failure struct {
	status  int
	id      string
	message string
}

func (f *failure) Error() string { return f.message }

var errUnauthorized = &failure{http.StatusUnauthorized, "unauthorized", "the request has no valid token: send Authorization: Bearer TOKEN (the first one is in admin.token in the data directory)"}

func notFound(format string, args ...any) error {
	return &failure{http.StatusNotFound, "not_found", fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &failure{http.StatusBadRequest, "bad_request", fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return &failure{http.StatusUnprocessableEntity, "unprocessable_entity", fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) error {
	return &failure{http.StatusConflict, "conflict", fmt.Sprintf(format, args...)}
}

// errImageGone marks a failure because an image was removed.
var errImageGone = errors.New("the image was removed")

func imageGone(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errImageGone, invalid(format, args...))
}

// behind is the answer when the history cannot be asked: it is being rebuilt, say. Present state and commands do not
// need it.
func behind(err error) error {
	return &failure{http.StatusServiceUnavailable, "service_unavailable", "the history cannot be read now: " + err.Error()}
}

// statusOf is the status of each kind of refusal.
var statusOf = map[deploy.Code]int{
	deploy.CodeNotFound:    http.StatusNotFound,
	deploy.CodeConflict:    http.StatusConflict,
	deploy.CodePinned:      http.StatusConflict,
	deploy.CodeReadOnly:    http.StatusConflict,
	deploy.CodeQuarantined: http.StatusConflict,
	deploy.CodeInvalid:     http.StatusUnprocessableEntity,
}

// classify makes an answer of an error. What it does not know is a 500 whose text stays in the service's own log.
func classify(err error) *failure {
	var (
		f        *failure
		refusal  *deploy.Refusal
		tooLarge *http.MaxBytesError
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &refusal):
		status, ok := statusOf[refusal.Code]
		if !ok {
			status = http.StatusUnprocessableEntity
		}
		return &failure{status, string(refusal.Code), refusal.Message}
	case errors.As(err, &tooLarge):
		return &failure{http.StatusRequestEntityTooLarge, "request_entity_too_large", fmt.Sprintf("the request is larger than %d KiB", tooLarge.Limit>>10)}
	case errors.Is(err, events.ErrTooLarge):
		return &failure{http.StatusUnprocessableEntity, "unprocessable_entity", err.Error()}
	case errors.Is(err, events.ErrFull):
		return &failure{http.StatusServiceUnavailable, "service_unavailable", fullReason(err)}
	case errors.Is(err, events.ErrUnavailable), errors.Is(err, events.ErrConflict),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &failure{http.StatusServiceUnavailable, "service_unavailable", "the log does not answer in time: try again"}
	}
	return &failure{http.StatusInternalServerError, "server_error", "an unexpected error; the service's log has it under this request id"}
}

// fullReason is what an append says of a log without room: which disk or limit it is, and what to do.
func fullReason(err error) string {
	text := err.Error()
	if i := strings.Index(text, events.ErrFull.Error()); i > 0 {
		text = text[i:]
	}
	return text
}

// fail writes an error as the contract has it.
func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	f := classify(err)
	if f.status >= 500 {
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "request_id", requestID(r), "err", err)
	}
	if f.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	writeJSON(w, f.status, map[string]string{"id": f.id, "message": f.message, "request_id": requestID(r)})
}

// retryAfter is how many seconds a client should wait when the log is not available.
const retryAfter = 5
