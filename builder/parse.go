package builder

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/openshift/imagebuilder"
	"github.com/openshift/imagebuilder/dockerfile/parser"
)

// baseNames returns the names of images that a Dockerfile is built on: in FROM, COPY --from and RUN --mount=from, with
// build arguments put in. Names of stages are not among them.
func baseNames(file dockerfile, job wireJob) ([]string, error) {
	node, err := imagebuilder.ParseDockerfile(bytes.NewReader(file.text))
	if err != nil {
		return nil, err
	}
	b := imagebuilder.NewBuilder(job.Args)
	stages, err := imagebuilder.NewStages(node, b)
	if err != nil {
		return nil, err
	}
	var names []string
	known := map[string]bool{"scratch": true, "": true}
	add := func(name string, stage imagebuilder.Stage) {
		args := append(pairs(stage.Builder.Args), append(pairs(stage.Builder.HeadingArgs), pairs(stage.Builder.BuiltinArgDefaults)...)...)
		if name, err := imagebuilder.ProcessWord(name, args); err == nil && !known[name] && !isNumber(name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, stage := range stages {
		for _, line := range stage.Node.Children {
			switch strings.ToUpper(line.Value) {
			case "FROM":
				if line.Next != nil {
					add(line.Next.Value, stage)
				}
			case "COPY", "RUN", "ADD":
				for _, flag := range line.Flags {
					if m := fromFlag.FindStringSubmatch(flag); m != nil {
						add(m[1], stage)
					}
				}
			}
		}
		known[stage.Name] = true
	}
	return names, nil
}

var fromFlag = regexp.MustCompile(`^--(?:from=|mount=(?:.*,)?from=)([^,]+)`)

// refusedMount finds the first RUN that wants what is never given.
func refusedMount(file dockerfile) error {
	node, err := imagebuilder.ParseDockerfile(bytes.NewReader(file.text))
	if err != nil {
		return fmt.Errorf("the Dockerfile %q cannot be read: %w", file.name, err)
	}
	for _, line := range node.Children {
		for _, flag := range line.Flags {
			if strings.HasPrefix(flag, "--mount=") && strings.Contains(flag, "type=ssh") {
				return fmt.Errorf("%s:%d: RUN --mount=type=ssh is not supported: use a build secret (--mount=type=secret)", file.name, line.StartLine)
			}
		}
	}
	return nil
}

// lineOf finds the line that an instruction of buildah's messages is on; 0 when there is none, or more than one.
func lineOf(file dockerfile, step string) int {
	node, err := imagebuilder.ParseDockerfile(bytes.NewReader(file.text))
	if err != nil {
		return 0
	}
	found := 0
	for _, line := range node.Children {
		if squeeze(line.Original) == squeeze(step) || strings.HasPrefix(squeeze(line.Original), squeeze(step)) {
			if found != 0 {
				return 0
			}
			found = line.StartLine
		}
	}
	return found
}

func squeeze(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

func pairs(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	return out
}

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

var _ = parser.Node{}
