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
// another). All of those are written at the end of the batch.
type deployments struct {
	b     *batch
	dirty map[*app]map[uint64]*deploy.Deployment // by ordinal
}

// openDeployment is one that is not over.
type openDeployment struct {
	ordinal uint64
	d       *deploy.Deployment // in the fold, or as it was when the fold forgot it
}

// Apply notes what the event made or changed. It runs after the fold.
func (p deployments) Apply(tx *bolt.Tx, r events.Recorded) error {
	a := p.b.app(r.Subject)
	if a == nil {
		return nil
	}
	named := r.Deployment == ""
	open := a.open[:0]
	for _, o := range a.open {
		if d := a.state.Deployments[o.d.ID]; d != nil {
			o.d = d
		}
		p.note(a, o)
		named = named || o.d.ID == r.Deployment
		if !o.d.Phase.Final() {
			open = append(open, o)
		}
	}
	clear(a.open[len(open):])
	a.open = open
	if named || a.state.Deployments[r.Deployment] == nil {
		return nil
	}
	return p.named(tx, a, a.state.Deployments[r.Deployment], r)
}

// named notes a deployment that was not open before the event which names it: a new one, or one that is over.
func (p deployments) named(tx *bolt.Tx, a *app, d *deploy.Deployment, r events.Recorded) error {
	key := idPairKey(a.id, d.ID)
	known, err := get(tx, deploymentIDsTable, key)
	if err != nil {
		return err
	}
	if known != nil {
		p.note(a, openDeployment{binary.BigEndian.Uint64(known), d})
		return nil
	}
	if _, ok := r.Event.(events.DeploymentRequested); !ok {
		return nil
	}
	o := openDeployment{a.deployments, d}
	a.deployments++
	p.note(a, o)
	if !d.Phase.Final() {
		a.open = append(a.open, o)
	}
	return p.b.add(tx, deploymentIDsTable, key, number(o.ordinal))
}

func (p deployments) note(a *app, o openDeployment) {
	if p.dirty[a] == nil {
		p.dirty[a] = map[uint64]*deploy.Deployment{}
	}
	p.dirty[a][o.ordinal] = o.d
}

// Flush writes what was noted.
func (p deployments) Flush(tx *bolt.Tx) error {
	for a, list := range p.dirty {
		for ordinal, d := range list {
			payload, err := json.Marshal(d)
			if err != nil {
				return fmt.Errorf("store deployment %s: %w", d.ID, err)
			}
			if err := p.b.put(tx, deploymentsTable, appKey(a.id, ordinal), payload); err != nil {
				return err
			}
		}
	}
	return nil
}

// findOpen lists the deployments of an app that are not over.
func findOpen(tx *bolt.Tx, a *app) error {
	for _, d := range a.state.Live() {
		ordinal, err := get(tx, deploymentIDsTable, idPairKey(a.id, d.ID))
		if err != nil {
			return err
		}
		if ordinal != nil {
			a.open = append(a.open, openDeployment{binary.BigEndian.Uint64(ordinal), d})
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
