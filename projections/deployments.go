package projections

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"shiplog/events"
	"shiplog/internal/deploy"
)

// deployments keeps every deployment for ever, as the fold last knew it: an App forgets old ones.
//
// An event changes the deployment it names, and may change others that are not over (an image built for one can serve
// another). So those are looked at before and after each event, and written at the end of the batch.
type deployments struct {
	b     *batch
	dirty map[*app]map[events.ID]*deploy.Deployment
}

// beforeFold notes the deployments that an event may change, while the fold still knows them.
type beforeFold struct{ deployments }

// Apply runs before the fold.
func (p beforeFold) Apply(tx *bolt.Tx, r events.Recorded) error {
	if a := p.b.app(r.Subject); a != nil {
		p.note(a, r.Deployment)
		for _, id := range a.live {
			p.note(a, id)
		}
	}
	return nil
}

// Apply notes what the event made or changed. It runs after the fold.
func (p deployments) Apply(tx *bolt.Tx, r events.Recorded) error {
	a := p.b.app(r.Subject)
	if a == nil {
		return nil
	}
	p.note(a, r.Deployment)
	live := a.live[:0]
	for _, id := range a.live {
		if d := p.note(a, id); d != nil && !d.Phase.Final() {
			live = append(live, id)
		}
	}
	a.live = live
	e, ok := r.Event.(events.DeploymentRequested)
	if !ok || p.note(a, e.Deployment) == nil {
		return nil
	}
	key := idPairKey(a.id, e.Deployment)
	known, err := get(tx, deploymentIDsTable, key)
	if err != nil || known != nil {
		return err
	}
	a.live = append(a.live, e.Deployment)
	a.deployments++
	return p.b.add(tx, deploymentIDsTable, key, number(a.deployments-1))
}

// note remembers that a deployment may have changed, and returns it as the fold knows it now; nil when it does not.
func (p deployments) note(a *app, id events.ID) *deploy.Deployment {
	d := a.state.Deployments[id]
	if d == nil {
		return nil
	}
	if p.dirty[a] == nil {
		p.dirty[a] = map[events.ID]*deploy.Deployment{}
	}
	p.dirty[a][id] = d
	return d
}

// Flush writes what was noted.
func (p deployments) Flush(tx *bolt.Tx) error {
	for a, list := range p.dirty {
		for id, d := range list {
			ordinal, err := get(tx, deploymentIDsTable, idPairKey(a.id, id))
			if err != nil {
				return err
			}
			if ordinal == nil {
				continue // the fold knows it by another way than an event that asked for it
			}
			payload, err := json.Marshal(d)
			if err != nil {
				return fmt.Errorf("store deployment %s: %w", id, err)
			}
			key := append(idKey(a.id), ordinal...)
			if err := p.b.put(tx, deploymentsTable, key, payload); err != nil {
				return err
			}
		}
	}
	return nil
}

func idPairKey(app, id events.ID) []byte { return append(idKey(app), idKey(id)...) }

func readDeployment(tx *bolt.Tx, app events.ID, ordinal uint64) (d deploy.Deployment, err error) {
	payload, err := must(tx, deploymentsTable, appKey(app, ordinal))
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(payload, &d); err != nil {
		return d, fmt.Errorf("read deployment %d of app %s: %w", ordinal, app, err)
	}
	return d, nil
}

// Deployments returns an app's deployments, newest first, and how many there are. None is ever forgotten.
func (s *Store) Deployments(app events.ID, offset, limit int) (list []deploy.Deployment, total int, err error) {
	err = s.view(app, func(v view) error {
		total = int(v.app.deployments)
		for n := range newestFirst(v.app.deployments, offset, limit) {
			d, err := readDeployment(v.tx, app, n)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	return list, total, err
}

// Deployment returns one deployment of an app; ok is false when there is none with that id.
func (s *Store) Deployment(app, id events.ID) (d deploy.Deployment, ok bool, err error) {
	err = s.view(app, func(v view) error {
		ordinal, err := get(v.tx, deploymentIDsTable, idPairKey(app, id))
		if err != nil || ordinal == nil {
			return err
		}
		ok = true
		d, err = readDeployment(v.tx, app, binary.BigEndian.Uint64(ordinal))
		return err
	})
	return d, ok && err == nil, err
}
