package deploy

import (
	"cmp"
	"slices"
	"strconv"

	"shiplog/events"
)

// Decide returns what an order adds to the app's history: nothing when what it asks for is already so, or when the same
// order was carried out before. The events' ids follow from the order's id and their index. It returns a *[Refusal]
// when the order cannot be accepted.
func Decide(a App, o Order) ([]events.Draft, error) {
	s := &story{app: a, order: o.complete()}
	if slices.Contains(a.Recent, s.eventID(0)) {
		return nil, nil
	}
	if err := s.allowed(); err != nil {
		return nil, err
	}
	if err := s.decide(); err != nil {
		return nil, err
	}
	if err := s.fits(); err != nil {
		return s.instead(err)
	}
	return s.drafts, nil
}

// instead decides what becomes of an order whose events are too large, where a refusal would leave work that is tried
// for ever: a push is judged all the same, and a build has failed.
func (s *story) instead(tooLarge error) ([]events.Draft, error) {
	switch c := s.order.Command.(type) {
	case JudgePush:
		s.order.Command = JudgePush{Push: c.Push, Err: tooLarge.Error()}
	case FinishBuild:
		s.order.Command = FailBuild{
			Deployment: c.Deployment, Component: c.Component, Attempt: c.Attempt,
			Reason: "the record of what went into the image does not fit in the log: use fewer base images, or fewer and shorter build arguments",
		}
	default:
		return nil, tooLarge
	}
	s.drafts = nil
	if err := s.decide(); err != nil {
		return nil, err
	}
	return s.drafts, s.fits()
}

// DeploymentID returns the id of the deployment that an order on an app makes, if it makes one.
func DeploymentID(app events.ID, orderID string) events.ID {
	return events.NamedID("deployment", string(app), orderID)
}

// complete gives what an order leaves open its default.
func (o Order) complete() Order {
	switch c := o.Command.(type) {
	case PinTo:
		c.Mode = cmp.Or(c.Mode, events.BuildReuse)
		o.Command = c
	case Deploy:
		c.Mode = cmp.Or(c.Mode, events.BuildReuse)
		o.Command = c
	}
	return o
}

// story is a decision under way: the app before it, the order, and what was decided so far.
type story struct {
	app    App
	order  Order
	drafts []events.Draft
}

func (s *story) allowed() error {
	_, create := s.order.Command.(CreateApp)
	switch {
	case create && s.app.ID != "":
		return refuse(CodeConflict, "the app exists already")
	case !create && !s.app.Exists():
		return refuse(CodeNotFound, "there is no such app")
	case s.app.ReadOnly != "":
		return refuse(CodeReadOnly, "app %s is read-only: %s; a newer Shiplog has to read it", s.app.Name, s.app.ReadOnly)
	}
	return nil
}

func (s *story) decide() error {
	switch c := s.order.Command.(type) {
	case CreateApp:
		return s.createApp(c)
	case ChangeSpec:
		return s.changeSpec(c)
	case DeleteApp:
		return s.deleteApp()
	case StopApp:
		if !s.app.Stopped {
			s.add(events.AppStopped{Reason: clip(c.Reason, 1024)})
		}
	case StartApp:
		if s.app.Stopped {
			s.add(events.AppStarted{})
		}
	case ReceivePush:
		s.receivePush(c)
	case JudgePush:
		return s.judgePush(c)
	case Deploy:
		return s.deploy(c)
	case Restart:
		return s.restart(c)
	case PinTo:
		return s.pinTo(c)
	case Unpin:
		return s.unpin(c)
	case Quarantine:
		return s.quarantine(c)
	case Cancel:
		return s.cancel(c)
	default:
		return s.decideWork()
	}
	return nil
}

// add appends an event to the story. Its id follows from the order and its place, so that the same order given again
// after a lost answer makes the same events.
func (s *story) add(e events.Event) {
	d := events.Draft{
		ID: s.eventID(len(s.drafts)), At: s.order.At, Actor: s.order.Actor, Cause: s.order.Cause, Event: e,
	}
	if d.Cause == "" {
		d.Cause = events.HeaderSafe(s.order.ID)
	}
	if w, ok := e.(interface{ In() events.ID }); ok {
		d.Deployment = w.In()
	}
	s.drafts = append(s.drafts, d)
}

func (s *story) eventID(index int) events.ID {
	return events.NamedID("event", string(s.order.App), s.order.ID, strconv.Itoa(index))
}

// clip cuts text to n bytes without leaving half a character.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n -= len("…")
	for n > 0 && text[n]&0xc0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}
