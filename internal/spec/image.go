package spec

import (
	"regexp"
	"strings"

	"shiplog/events"
)

var (
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	registryPattern   = regexp.MustCompile(`^(localhost(:[0-9]{1,5})?|[a-z0-9]([a-z0-9-]*[a-z0-9])?((\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+(:[0-9]{1,5})?|:[0-9]{1,5}))$`)
	tagPattern        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
)

func (c *checker) image(i *events.ImageSource, path string) {
	if i.RegistryType == "UNSPECIFIED" {
		i.RegistryType = ""
	}
	switch i.RegistryType {
	case "DOCKER_HUB", "GHCR", "DOCR":
		if i.Registry != "" && !repositoryPattern.MatchString(i.Registry) {
			c.fault(path+".registry", "must be the account's name in lower case, not %q", clip(i.Registry))
		}
		if i.RegistryType != "DOCKER_HUB" && i.Registry == "" && !strings.Contains(i.Repository, "/") {
			c.fault(path+".registry", "is missing: give the account's name")
		}
	case "":
		if i.Registry == "" {
			c.fault(path+".registry", "is missing: give the registry's host, or a registry_type (DOCKER_HUB, GHCR, DOCR)")
		} else if !registryPattern.MatchString(i.Registry) {
			c.fault(path+".registry", "must be a host in lower case, with a port where it has one, not %q", clip(i.Registry))
		}
	default:
		c.fault(path+".registry_type", "must be DOCKER_HUB, GHCR, DOCR or left out, not %q", clip(i.RegistryType))
	}
	switch {
	case i.Repository == "":
		c.fault(path+".repository", "is missing")
	case !repositoryPattern.MatchString(i.Repository) || len(i.Repository) > 200:
		c.fault(path+".repository", "%q is not a repository's name (lower case, without tag)", clip(i.Repository))
	}
	if i.Tag != "" && !tagPattern.MatchString(i.Tag) {
		c.fault(path+".tag", "%q is not a tag", clip(i.Tag))
	}
	if i.Digest != "" {
		if _, err := events.ParseDigest(string(i.Digest)); err != nil {
			c.fault(path+".digest", "%v", err)
		}
		if i.Tag != "" {
			c.fault(path, "has a tag and a digest: give one of them")
		}
	}
}

// ImageRef returns the full repository of a component's source image ("docker.io/library/nginx"), and the tag or the
// digest, of which exactly one is set; the tag is "latest" where neither was given. The component has been checked.
// The repository is empty for a component that is built from git.
func ImageRef(c events.Component) (repository, tag string, digest events.Digest) {
	if c.Image == nil {
		return "", "", ""
	}
	i := *c.Image
	parts := []string{i.Registry, i.Repository}
	switch i.RegistryType {
	case "DOCKER_HUB":
		if i.Registry == "" && !strings.Contains(i.Repository, "/") {
			parts[0] = "library"
		}
		parts = append([]string{"docker.io"}, parts...)
	case "GHCR":
		parts = append([]string{"ghcr.io"}, parts...)
	case "DOCR":
		parts = append([]string{"registry.digitalocean.com"}, parts...)
	default:
		// The many names of Docker Hub are one, and its official images live under "library".
		if i.Registry == "docker.io" || i.Registry == "index.docker.io" || i.Registry == "registry-1.docker.io" {
			parts[0] = "docker.io"
			if !strings.Contains(i.Repository, "/") {
				parts = []string{"docker.io", "library", i.Repository}
			}
		}
	}
	for _, p := range parts {
		if p != "" {
			repository += "/" + p
		}
	}
	repository = strings.TrimPrefix(repository, "/")
	if i.Digest == "" && i.Tag == "" {
		return repository, "latest", ""
	}
	return repository, i.Tag, i.Digest
}
