package api

import (
	"shiplog/events"
	"shiplog/internal/deploy"
)

// causeObject is App Platform's cause_details.
type causeObject struct {
	Type       string      `json:"type"`
	UserAction *userAction `json:"digitalocean_user_action,omitempty"`
	GitPush    *gitPush    `json:"git_push,omitempty"`
	Internal   bool        `json:"internal,omitempty"`
}

type userAction struct {
	User struct {
		FullName string `json:"full_name"`
	} `json:"user"`
	Name string `json:"name"`
}

// gitPush holds exactly one of the sources; Git is ours, for a plain clone URL.
type gitPush struct {
	GitHub        *events.ForgeSource `json:"github,omitempty"`
	GitLab        *events.ForgeSource `json:"gitlab,omitempty"`
	Bitbucket     *events.ForgeSource `json:"bitbucket,omitempty"`
	Git           *events.GitSource   `json:"git,omitempty"`
	Username      string              `json:"username,omitempty"`
	CommitAuthor  string              `json:"commit_author,omitempty"`
	CommitSHA     events.Commit       `json:"commit_sha"`
	CommitMessage string              `json:"commit_message,omitempty"`
}

// causes says for each intent the type and, where a person acted, the action's name.
var causes = map[events.Intent]struct{ kind, action string }{
	events.IntentCreate:   {"MANUAL", "CREATE_DEPLOYMENT"},
	events.IntentPush:     {"DEPLOY_ON_PUSH", ""},
	events.IntentDeploy:   {"MANUAL", "CREATE_DEPLOYMENT"},
	events.IntentSpec:     {"MANUAL", "UPDATE_SPEC"},
	events.IntentPin:      {"MANUAL", "CREATE_DEPLOYMENT"},
	events.IntentRollback: {"MANUAL_ROLLBACK", "ROLLBACK_APP"},
	events.IntentRevert:   {"MANUAL_ROLLBACK", "REVERT_APP_ROLLBACK"},
	events.IntentUnpin:    {"MANUAL", "CREATE_DEPLOYMENT"},
	events.IntentRestart:  {"MANUAL", "RESTART"},
	events.IntentAuto:     {"AUTO_ROLLBACK", ""},
}

func causeOf(spec events.Spec, d *deploy.Deployment) causeObject {
	c, known := causes[d.Intent]
	if !known {
		c.kind = "UNKNOWN"
	}
	o := causeObject{Type: c.kind, Internal: d.Intent == events.IntentAuto}
	if c.action != "" {
		o.UserAction = &userAction{Name: c.action}
		o.UserAction.User.FullName = string(d.Actor)
	}
	if src := d.Source; src != nil {
		o.GitPush = &gitPush{Username: src.Pusher, CommitAuthor: src.Author, CommitSHA: src.Commit, CommitMessage: src.Message}
		for _, comp := range spec.Components() {
			if p := d.Parts[comp.Name]; p != nil && p.Target.Revision.Commit == src.Commit {
				o.GitPush.GitHub, o.GitPush.GitLab, o.GitPush.Bitbucket, o.GitPush.Git = comp.GitHub, comp.GitLab, comp.Bitbucket, comp.Git
				break
			}
		}
	}
	return o
}
