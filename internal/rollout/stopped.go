package rollout

import (
	"errors"
	"fmt"

	"shiplog/internal/engine"
)

// maxRollouts is how many times a rollout is begun that ends in something that might have passed by itself. With the
// reactor's pauses that is about three minutes. An engine that cannot be reached is waited for as long as it takes.
const maxRollouts = 10

// stopped is why a rollout did not go on: a step of a component, in words for people.
type stopped struct {
	component, step, reason, log string
	err                          error // set when trying again may help
}

func (s *stopped) Error() string {
	if s.component == "" {
		return fmt.Sprintf("%s: %s", s.step, s.reason)
	}
	return fmt.Sprintf("%s %s: %s", s.step, s.component, s.reason)
}

func (s *stopped) Unwrap() error { return s.err }

// again stops a rollout for now.
func again(component, step string, err error) *stopped {
	return &stopped{component: component, step: step, reason: err.Error(), err: err}
}

// worthAnother reports whether a rollout that was begun so many times before is tried again.
func (s *stopped) worthAnother(begun int) bool {
	return s.err != nil && (begun < maxRollouts || errors.Is(s.err, engine.ErrDown))
}

// giveUp says so in the reason when the rollout ends though another try might have helped.
func (s *stopped) giveUp() {
	if s.err != nil {
		s.reason += fmt.Sprintf("; it was tried %d times: deploy again when that is mended", maxRollouts)
	}
}
