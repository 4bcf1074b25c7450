package deploy

import (
	"slices"

	"shiplog/events"
)

// maxFaults is how many attempts of a build may fail for a reason that is worth another try; maxTakeovers how many may
// be cut short by the end of their builder.
const (
	maxFaults    = 3
	maxTakeovers = 50
)

func (s *story) decideWork() error {
	switch c := s.order.Command.(type) {
	case ClaimBuild:
		return s.claimBuild(c)
	case FinishBuild:
		return s.finishBuild(c)
	case FailBuild:
		return s.failBuild(c)
	case RecordPull:
		return s.recordPull(c)
	case StartRollout:
		return s.startRollout(c)
	case FinishRollout:
		return s.finishRollout(c)
	case FailDeployment:
		return s.failDeployment(c)
	case ReportInstance:
		d := s.app.Deployments[c.Deployment]
		if d == nil {
			return nil
		}
		s.add(events.InstanceFailed{
			Work: d.Work(), Component: c.Component, Instance: c.Instance, Reason: clip(c.Reason, 2048), Count: c.Count,
		})
		return nil
	}
	return refuse(CodeInvalid, "unknown command %T", s.order.Command)
}

// live returns a deployment that is not over.
func (s *story) live(id events.ID) (*Deployment, error) {
	d := s.app.Deployments[id]
	switch {
	case d == nil:
		return nil, refuse(CodeNotFound, "app %s has no such deployment under way", s.app.Name)
	case d.Phase.Final():
		return nil, refuse(CodeConflict, "deployment %s is over: %s", d.ID, d.Phase)
	}
	return d, nil
}

func (s *story) cancel(c Cancel) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	s.add(events.DeploymentCanceled{Work: d.Work(), Reason: clip(c.Reason, 1024)})
	return nil
}

func (s *story) claimBuild(c ClaimBuild) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	p := d.Parts[c.Component]
	switch {
	case p == nil || !p.Build || p.Ready:
		return refuse(CodeConflict, "component %q of deployment %s needs no build", c.Component, d.ID)
	case p.Builder != "" && p.Builder != c.Builder && s.order.At.Before(p.Until):
		return refuse(CodeConflict, "%s builds it until %s", p.Builder, p.Until.UTC().Format("15:04:05Z"))
	case p.Attempt >= maxTakeovers:
		s.add(events.DeploymentFailed{
			Work: d.Work(), Component: c.Component, Step: "build",
			Reason: "the build ended its builder 50 times; look at the host's memory and the service's own log",
		})
		return nil
	}
	s.add(events.BuildStarted{Work: d.Work(), Component: c.Component, Attempt: p.Attempt + 1, Builder: c.Builder, Until: c.Until})
	return nil
}

// claimed returns the part that an attempt of a build belongs to; a report of an earlier attempt comes too late.
func (s *story) claimed(deployment events.ID, component string, attempt int) (*Deployment, *Part, error) {
	d, err := s.live(deployment)
	if err != nil {
		return nil, nil, err
	}
	p := d.Parts[component]
	if p == nil || p.Builder == "" || p.Attempt != attempt {
		return nil, nil, refuse(CodeConflict, "attempt %d of %s is not the present one", attempt, component)
	}
	return d, p, nil
}

func (s *story) finishBuild(c FinishBuild) error {
	d, p, err := s.claimed(c.Deployment, c.Component, c.Attempt)
	if err != nil {
		return err
	}
	s.add(events.ImageBuilt{
		Work: d.Work(), Component: c.Component, Attempt: c.Attempt, Revision: p.Target.Revision, Digest: c.Digest, Key: p.Key,
		Inputs: c.Inputs, Phases: c.Phases,
	})
	if reason, bad := s.app.Quarantined[string(c.Digest)]; bad {
		s.add(events.DeploymentFailed{Work: d.Work(), Component: c.Component, Step: "build", Reason: "the image that came out is in quarantine: " + reason})
	}
	return nil
}

func (s *story) failBuild(c FailBuild) error {
	d, p, err := s.claimed(c.Deployment, c.Component, c.Attempt)
	if err != nil {
		return err
	}
	again := c.Retry && p.Faults+1 < maxFaults
	reason, log := clip(c.Reason, 2048), tail(c.Log, 4096)
	s.add(events.BuildFailed{
		Work: d.Work(), Component: c.Component, Attempt: c.Attempt, Reason: reason, Retry: again, Log: log,
	})
	if !again {
		s.add(events.DeploymentFailed{Work: d.Work(), Component: c.Component, Step: "build", Reason: reason, Log: log})
	}
	return nil
}

func (s *story) recordPull(c RecordPull) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	if p := d.Parts[c.Component]; p != nil && p.Pulled == "" {
		s.add(events.ImagePulled{Work: d.Work(), Component: c.Component, Digest: c.Digest, From: c.From, Phases: c.Phases})
	}
	return nil
}

func (s *story) startRollout(c StartRollout) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	if first := s.app.Live()[0]; first.ID != d.ID || !d.ready() {
		return refuse(CodeConflict, "deployment %s is not the next to roll out", d.ID)
	}
	have := map[string]events.Target{}
	if d.Intent == events.IntentRestart {
		for name, serving := range s.app.Serving {
			if len(d.Only) == 0 || slices.Contains(d.Only, name) {
				have[name] = serving.Target
			}
		}
	} else {
		for name, p := range d.Parts {
			have[name] = p.Target
		}
	}
	s.add(events.RolloutStarted{Work: d.Work(), Attempt: d.Rollouts + 1, Have: have})
	return nil
}

func (s *story) finishRollout(c FinishRollout) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	if d.Phase != Deploying {
		return refuse(CodeConflict, "deployment %s is not rolling out", d.ID)
	}
	e := events.Released{Work: d.Work(), SpecHash: d.SpecHash, Have: map[string]events.Target{}, Phases: c.Phases}
	for name, p := range d.Parts {
		e.Have[name] = p.Target
	}
	if d.Intent != events.IntentRestart {
		e.Number = len(s.app.Releases) + 1
	}
	s.add(e)
	return nil
}

func (s *story) failDeployment(c FailDeployment) error {
	d, err := s.live(c.Deployment)
	if err != nil {
		return err
	}
	s.add(events.DeploymentFailed{
		Work: d.Work(), Component: c.Component, Step: c.Step, Reason: clip(c.Reason, 2048), Log: tail(c.Log, 4096),
	})
	return nil
}

// tail keeps the last n bytes of a log.
func tail(log string, n int) string {
	if len(log) <= n {
		return log
	}
	log = log[len(log)-n:]
	for len(log) > 0 && log[0]&0xc0 == 0x80 {
		log = log[1:]
	}
	return log
}
