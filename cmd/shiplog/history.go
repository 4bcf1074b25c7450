package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"shiplog/events"
)

// eventAnswer is an event of the timeline: its envelope and, of all kinds, the fields that people are told.
type eventAnswer struct {
	Type       string                  `json:"type"`
	At         time.Time               `json:"at"`
	Actor      string                  `json:"actor"`
	Deployment string                  `json:"deployment"`
	Component  string                  `json:"component"`
	CauseText  string                  `json:"cause_text"`
	Reason     string                  `json:"reason"`
	Verdict    string                  `json:"verdict"`
	Ref        string                  `json:"ref"`
	After      events.Commit           `json:"after"`
	Message    string                  `json:"message"`
	Author     string                  `json:"author"`
	Why        string                  `json:"why"`
	Number     int                     `json:"number"`
	Step       string                  `json:"step"`
	By         string                  `json:"by"`
	From       json.RawMessage         `json:"from"` // of a pull, a text
	Digest     events.Digest           `json:"digest"`
	Commit     events.Commit           `json:"commit"`
	Builder    string                  `json:"builder"`
	Attempt    int                     `json:"attempt"`
	Name       string                  `json:"name"`
	Instance   string                  `json:"instance"`
	Phases     []events.Phase          `json:"phases"`
	Have       map[string]targetAnswer `json:"have"`
	NotRead    string                  `json:"not_understood"`
}

func newHistoryCommand(c *cli) *cobra.Command {
	var limit int
	cmd := &cobra.Command{Use: "history APP", Short: "Show everything that happened to an app, the newest last", Args: args(1, 1), RunE: func(cmd *cobra.Command, given []string) error {
		list, raw, err := bothLists[eventAnswer](cmd.Context(), c, appPath(given[0], "timeline"), "timeline", limit)
		if err != nil {
			return err
		}
		return c.show(cmd, raw, func(w io.Writer) {
			var rows [][]string
			for i := len(list) - 1; i >= 0; i-- { // as it happened: the end of a terminal is its newest line
				e := list[i]
				rows = append(rows, []string{c.ago(e.At), short(e.Deployment), e.Type, cleanLine(e.describe()), e.Actor})
			}
			table(w, "WHEN\tDEPLOYMENT\tEVENT\tWHAT\tBY", rows)
		})
	}}
	cmd.Flags().IntVarP(&limit, "number", "n", 50, "show the newest so many; 0: all")
	return cmd
}

// describe says what an event is about, with how long its phases took.
func (e eventAnswer) describe() string {
	var parts []string
	add := func(format string, value any) {
		if text := fmt.Sprint(value); text != "" && text != "0" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	add("%s", e.NotRead)
	switch e.Type {
	case "DeploymentRequested":
		add("%s", e.CauseText)
	case "PushReceived":
		add("%s", shortRef(e.Ref))
		add("at %s", e.After.Short())
		message, _, _ := strings.Cut(e.Message, "\n")
		add("%q", message)
		add("by %s", e.Author)
	case "Pinned":
		add("to %s", refText(e.Ref))
		add("%s", e.Component)
		add("(%s)", e.Reason)
	case "RolloutStarted":
		add("%s", what(e.Have))
	case "Released":
		add("v%d", e.Number)
		add("%s", what(e.Have))
	case "DeploymentSuperseded":
		add("by %s", short(e.By))
	case "BuildStarted":
		add("%s", e.Component)
		add("attempt %d", e.Attempt)
		add("on %s", e.Builder)
	default:
		add("%s", e.Name)
		add("%s", e.Verdict)
		add("%s", shortRef(e.Ref))
		add("%s", e.Component)
		add("%s", e.Step)
		add("%s", e.Why)
		add("%s", e.Commit.Short())
		add("sha256:%s", e.Digest.Short())
		add("%s", e.Instance)
		add("%s", e.Reason)
	}
	for _, p := range e.Phases {
		parts = append(parts, p.Name+" "+took(p.Ms))
	}
	return strings.ReplaceAll(strings.Join(parts, " "), "sha256: ", "")
}

func short(id string) string { return id[:min(8, len(id))] }

func shortRef(ref string) string { return events.RefName(ref).Short() }
