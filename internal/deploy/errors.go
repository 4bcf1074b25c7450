package deploy

import "fmt"

// Refusal is a command that was not accepted. Nothing was appended. Its message is for people and names the way out.
type Refusal struct {
	Code    Code
	Message string
}

// Code says what kind of refusal it is, so that an edge can choose a status.
type Code string

// The codes, which are the API's error ids.
const (
	CodeNotFound    Code = "not_found"
	CodeConflict    Code = "conflict"
	CodeInvalid     Code = "unprocessable_entity"
	CodePinned      Code = "app_pinned"
	CodeReadOnly    Code = "read_only"
	CodeQuarantined Code = "quarantined"
)

// Error returns the message.
func (r *Refusal) Error() string { return r.Message }

func refuse(code Code, format string, args ...any) error {
	return &Refusal{code, fmt.Sprintf(format, args...)}
}
