package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// config is what `shiplog serve` is told. Every flag is also an environment variable: --public-url is SHIPLOG_PUBLIC_URL.
type config struct {
	Data           string
	Listen         string
	HooksListen    string
	Ingress        string
	RegistryListen string
	PublicURL      string
	Domain         string

	Registry         string // "http://host:port" or "https://host"; empty: the embedded one
	RegistryUser     string
	RegistryPassword string
	Mirrors          []string // "docker.io=http://…"

	EngineHost   string
	SourceAllow  []string
	UnsafeBuilds bool
	Builds       int // at once

	networks []netip.Prefix    // SourceAllow, read by check
	mirrors  map[string]string // Mirrors, read by check: registry -> URL
}

func (c *config) flags(f *pflag.FlagSet) {
	f.StringVar(&c.Data, "data", "data", "directory that everything is kept in")
	f.StringVar(&c.Listen, "listen", "127.0.0.1:8080", "address of the API, the git remote and, unless --hooks-listen is given, the webhooks")
	f.StringVar(&c.HooksListen, "hooks-listen", "", "address of the webhooks alone, to expose without the rest")
	f.StringVar(&c.Ingress, "ingress", "127.0.0.1:8000", "address that the apps answer at")
	f.StringVar(&c.RegistryListen, "registry-listen", "127.0.0.1:5000", "address of the embedded registry")
	f.StringVar(&c.PublicURL, "public-url", "", "what this service is called from outside (default http://<listen>)")
	f.StringVar(&c.Domain, "domain", "localhost", "an app named hello answers at hello.<domain>")
	f.StringVar(&c.Registry, "registry", "", "another registry for the images built here, as http://HOST:PORT or https://HOST, instead of the embedded one")
	f.StringVar(&c.RegistryUser, "registry-user", "", "user name at --registry")
	f.StringVar(&c.RegistryPassword, "registry-password", "", "password at --registry; better given as SHIPLOG_REGISTRY_PASSWORD")
	f.StringSliceVar(&c.Mirrors, "registry-mirror", nil, "mirror of a registry for base images, as docker.io=http://HOST:PORT")
	f.StringVar(&c.EngineHost, "engine-host", "", "socket of the container engine, as unix:///path (default: Docker's or Podman's usual one)")
	f.StringSliceVar(&c.SourceAllow, "source-allow", nil, "private networks (CIDR) that git servers and registries may be on, and that builds may reach")
	f.BoolVar(&c.UnsafeBuilds, "unsafe-builds", false, "build without runc, on the host's network: only for code you trust as root")
	f.IntVar(&c.Builds, "builds", 1, "how many builds run at once")
}

// fromEnvironment sets every flag that was not given on the command line from its variable.
func fromEnvironment(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "SHIPLOG_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := os.LookupEnv(name); ok && !f.Changed && err == nil {
			if setErr := cmd.Flags().Set(f.Name, value); setErr != nil {
				err = fmt.Errorf("%s: %w", name, setErr)
			}
		}
	})
	return err
}

// check refuses what cannot work, and fills in what follows from the rest.
func (c *config) check() error {
	for name, addr := range map[string]string{"--listen": c.Listen, "--ingress": c.Ingress, "--registry-listen": c.RegistryListen, "--hooks-listen": c.HooksListen} {
		if _, _, err := net.SplitHostPort(addr); err != nil && addr != "" {
			return fmt.Errorf("%s %s is not an address (HOST:PORT): %w", name, addr, err)
		}
	}
	if c.PublicURL == "" {
		c.PublicURL = "http://" + c.Listen
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	data, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	c.Data = data
	if c.Builds < 1 {
		return fmt.Errorf("--builds is %d, which would build nothing", c.Builds)
	}
	if c.networks, err = parseNetworks(c.SourceAllow); err != nil {
		return err
	}
	c.mirrors, err = parseMirrors(c.Mirrors)
	return err
}

func parseNetworks(list []string) (out []netip.Prefix, err error) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("--source-allow %s is not a network (like 10.0.0.0/8): %w", s, err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseMirrors(list []string) (map[string]string, error) {
	out := map[string]string{}
	for _, m := range list {
		registry, url, ok := strings.Cut(m, "=")
		if !ok || !strings.Contains(url, "://") {
			return nil, fmt.Errorf("--registry-mirror %s is not of the form docker.io=http://HOST:PORT", m)
		}
		out[registry] = url
	}
	return out, nil
}

// bases are the URLs that clone URLs of the built-in remote may begin with.
func (c *config) bases() []string {
	bases := []string{c.PublicURL, "http://" + c.Listen}
	if host, port, err := net.SplitHostPort(c.Listen); err == nil {
		if ip, err := netip.ParseAddr(host); host == "" || err == nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			bases = append(bases, "http://localhost:"+port, "http://127.0.0.1:"+port)
		}
	}
	return bases
}
