package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"shiplog/events"
)

// steps builds and pushes what the child has checked out. It runs in the build's network.
func steps(req request) reply {
	file, err := readDockerfile(insideSource, req.Job.Dockerfile, req.Job.Dir)
	if err != nil {
		return reply{Failure: fail(stepBuild, err.Error(), false)}
	}
	plan, err := writePlan(req, file)
	if err != nil {
		return reply{Failure: fail(stepBuild, err.Error(), true)}
	}
	if err := refusedMount(file); err != nil {
		return reply{Failure: fail(stepBuild, err.Error(), false)}
	}
	store, err := openStore()
	if err != nil {
		return reply{Failure: fail(stepBuild, "open the layer storage: "+err.Error(), true)}
	}
	defer store.close()

	ctx := context.Background()
	start := time.Now()
	image, err := store.build(ctx, plan)
	if err != nil {
		return reply{Failure: buildFailure(file, err), Dirty: true}
	}
	built := Built{Phases: []events.Phase{{Name: stepBuild, Ms: time.Since(start).Milliseconds()}}}
	bases, err := store.bases(file, req.Job)
	if err != nil {
		return reply{Failure: fail(stepBuild, "record the base images: "+err.Error(), true)}
	}
	start = time.Now()
	digest, err := store.push(ctx, image, req)
	if err != nil {
		return reply{Failure: pushFailure(req.Job, err)}
	}
	built.Phases = append(built.Phases, events.Phase{Name: stepPush, Ms: time.Since(start).Milliseconds()})
	built.Digest = digest
	built.Inputs = events.Inputs{
		Tree:        req.Tree,
		Dockerfile:  file.sum,
		Args:        req.Job.Args,
		Secrets:     req.Job.SecretVersions,
		Bases:       bases,
		Target:      req.Job.Target,
		Platform:    platform(),
		Builder:     "shiplog " + req.Shiplog + " buildah " + buildahVersion,
		SourceEpoch: req.Epoch,
	}
	fmt.Printf("Built %s\n", digest)
	return reply{Built: &built}
}

// plan is what the storage is asked to build.
type plan struct {
	request
	context    string // directory
	dockerfile string // path of the file as it was read
	ignore     string // path of the ignore file as it was read
	secrets    []string
}

// writePlan puts what was read and the secrets into files in memory, for buildah to read again.
func writePlan(req request, file dockerfile) (plan, error) {
	p := plan{request: req, context: filepath.Join(insideSource, req.Job.Dir),
		dockerfile: filepath.Join(insideFiles, "Dockerfile"), ignore: filepath.Join(insideFiles, "ignore")}
	if err := errors.Join(os.WriteFile(p.dockerfile, file.text, 0o600), os.WriteFile(p.ignore, file.ignore, 0o600)); err != nil {
		return plan{}, fmt.Errorf("write the Dockerfile: %w", err)
	}
	for id, value := range req.Job.Secrets {
		path := filepath.Join(insideSecrets, id)
		if err := os.WriteFile(path, value, 0o600); err != nil {
			return plan{}, fmt.Errorf("write the build secret %s: %w", id, err)
		}
		p.secrets = append(p.secrets, "id="+id+",src="+path)
	}
	slices.Sort(p.secrets)
	return p, nil
}
