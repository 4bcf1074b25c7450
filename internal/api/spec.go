package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"shiplog/events"
	"shiplog/internal/secrets"
	"shiplog/internal/spec"
)

// releaseFeature marks a spec as that of a release: an update with it is a rollback to the release.
const releaseFeature = "shiplog-release="

// parseSpec reads and checks the spec of a request. A release mark in it means nothing here and is taken off: the spec of a
// deployment can be given to a new app.
func parseSpec(raw json.RawMessage) (events.Spec, error) {
	raw, _, err := takeRelease(raw)
	if err != nil {
		return events.Spec{}, err
	}
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || string(raw) == "null" {
		return events.Spec{}, invalid("the request has no spec: it needs at least {\"spec\": {\"name\": …}}")
	}
	sp, err := spec.Parse(raw)
	if err == nil {
		sp, err = spec.Check(sp)
	}
	if err != nil {
		return events.Spec{}, invalid("%s", err)
	}
	return sp, nil
}

// seal replaces the SECRET values of a spec by references. These are longer than many a value, and the spec has to fit
// with them.
func (s *server) seal(app events.ID, sp events.Spec) (events.Spec, error) {
	sealed, err := s.Secrets.Seal(string(app), sp)
	var refused *secrets.Refused
	if errors.As(err, &refused) {
		return events.Spec{}, invalid("%s", refused)
	}
	if err != nil {
		return events.Spec{}, fmt.Errorf("seal the secrets of app %s: %w", app, err)
	}
	if sealed, err = spec.Check(sealed); err != nil {
		return events.Spec{}, invalid("%s", err)
	}
	return sealed, nil
}

// takeRelease takes the release mark out of a spec's features. release is 0 when there is none. What is not a spec at all
// is returned as it is: the parser names what is wrong with it.
func takeRelease(raw json.RawMessage) (out json.RawMessage, release int, err error) {
	var doc map[string]json.RawMessage
	var features []string
	if json.Unmarshal(raw, &doc) != nil || json.Unmarshal(doc["features"], &features) != nil {
		return raw, 0, nil
	}
	i := slices.IndexFunc(features, func(f string) bool { return strings.HasPrefix(f, releaseFeature) })
	if i < 0 {
		return raw, 0, nil
	}
	number := strings.TrimPrefix(features[i], releaseFeature)
	if release, err = strconv.Atoi(number); err != nil || release < 1 {
		return raw, 0, invalid("feature %s%s: %q is not the number of a release", releaseFeature, number, number)
	}
	if features = slices.Delete(features, i, i+1); len(features) == 0 {
		delete(doc, "features")
	} else if doc["features"], err = json.Marshal(features); err != nil {
		return raw, 0, err
	}
	out, err = json.Marshal(doc)
	return out, release, err
}
