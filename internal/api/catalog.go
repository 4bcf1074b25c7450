package api

import (
	"net/http"
	"runtime"
	"strconv"

	"shiplog/events"
)

// owner stands for the installation where App Platform has an account. It is the same on every instance: nothing hangs on it.
var owner = events.NamedID("owner", "shiplog")

// regionObject is the one place there is: this machine.
type regionObject struct {
	Slug        string   `json:"slug"`
	Label       string   `json:"label"`
	Flag        string   `json:"flag,omitempty"`
	Continent   string   `json:"continent,omitempty"`
	DataCenters []string `json:"data_centers"`
	Default     bool     `json:"default"`
}

var local = regionObject{Slug: "local", Label: "This server", DataCenters: []string{"local"}, Default: true}

func (s *server) regions(w http.ResponseWriter, r *http.Request) error {
	return ok(w, "regions", []regionObject{local})
}

// sizeObject is an instance size. There is one: no limit but the machine. Limits by size come with scaling.
type sizeObject struct {
	Name         string `json:"name"`
	Slug         string `json:"slug"`
	CPUType      string `json:"cpu_type"`
	CPUs         string `json:"cpus"`
	MemoryBytes  string `json:"memory_bytes,omitempty"`
	USDPerMonth  string `json:"usd_per_month"`
	USDPerSecond string `json:"usd_per_second"`
	TierSlug     string `json:"tier_slug"`
	Scalable     bool   `json:"scalable"`
}

func sizes() []sizeObject {
	return []sizeObject{{
		Name: "Shared with everything on this server", Slug: "shared", CPUType: "SHARED", CPUs: strconv.Itoa(runtime.NumCPU()),
		USDPerMonth: "0", USDPerSecond: "0", TierSlug: "basic",
	}}
}

func (s *server) instanceSizes(w http.ResponseWriter, r *http.Request) error {
	return ok(w, "instance_sizes", sizes())
}

func (s *server) instanceSize(w http.ResponseWriter, r *http.Request) error {
	for _, size := range sizes() {
		if size.Slug == r.PathValue("slug") {
			return ok(w, "instance_size", size)
		}
	}
	return notFound("there is no instance size %s; there is %s", r.PathValue("slug"), sizes()[0].Slug)
}

func (s *server) account(w http.ResponseWriter, r *http.Request) error {
	return ok(w, "account", map[string]any{
		"uuid": owner, "email": string(actorOf(r)), "email_verified": true, "status": "active",
		"team": map[string]any{"uuid": owner, "name": "shiplog"},
	})
}
