package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// The exit codes of every command.
const (
	exitOK          = 0
	exitFailed      = 1   // refused, or failed
	exitUsage       = 2   // the command line is wrong
	exitUnreachable = 3   // the service does not answer
	exitDeployment  = 4   // the deployment that was waited for did not succeed
	exitInterrupted = 130 // Ctrl-C
)

// cli is what the client commands share.
type cli struct {
	url    string // flag; else SHIPLOG_URL
	output string // flag: "" for people, "json" for programs
	http   *http.Client
	now    func() time.Time
	getenv func(string) string
}

// newRoot returns the command line: the client commands and, given by the caller, those that are the service's. These
// may use what the client commands share.
func newRoot(extra ...func(*cli) *cobra.Command) *cobra.Command {
	return newClientRoot(&cli{http: &http.Client{Timeout: 60 * time.Second}, now: time.Now, getenv: os.Getenv}, extra...)
}

func newClientRoot(c *cli, extra ...func(*cli) *cobra.Command) *cobra.Command {
	root := &cobra.Command{
		Use:   "shiplog",
		Short: "Deploys apps from git and remembers everything it did",
		Long: `Shiplog deploys apps from git and remembers everything it did.

The client commands find the service at SHIPLOG_URL (default ` + defaultURL + `), with the
token in SHIPLOG_TOKEN or, beside a service, in admin.token of the data directory
(SHIPLOG_DATA, default ./data).

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no service reached, 4 the
deployment did not succeed, 130 interrupted.`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().StringVar(&c.url, "url", "", "address of the service (default: SHIPLOG_URL, else "+defaultURL+")")
	root.PersistentFlags().StringVarP(&c.output, "output", "o", "", "json: print data for programs")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if c.output != "" && c.output != "json" {
			return usage("-o %s is not known: json is", c.output)
		}
		return nil
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage("%v; `%s --help` shows the flags", err, cmd.CommandPath())
	})
	root.AddCommand(
		newAppsCommand(c), newDeployCommand(c), newRollbackCommand(c), newPinCommand(c), newUnpinCommand(c),
		newRestartCommand(c), newStopCommand(c), newStartCommand(c), newCancelCommand(c), newReleasesCommand(c),
		newHistoryCommand(c), newAtCommand(c), newLogsCommand(c), newQueueCommand(c), newHookCommand(c),
	)
	for _, command := range extra {
		root.AddCommand(command(c))
	}
	return root
}

// execute runs a command line and returns its exit code. What went wrong is written to stderr.
func execute(ctx context.Context, root *cobra.Command, args []string) int {
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := codeOf(ctx, err)
	if code != exitInterrupted {
		explain(root.ErrOrStderr(), err)
	}
	return code
}

func codeOf(ctx context.Context, err error) int {
	var (
		wrong       *usageError
		unreachable *unreachableError
		deployment  *deploymentError
	)
	switch {
	case errors.As(err, &wrong), strings.HasPrefix(err.Error(), "unknown command"):
		return exitUsage
	case errors.As(err, &deployment):
		return exitDeployment
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &unreachable):
		return exitUnreachable
	}
	return exitFailed
}

func explain(w io.Writer, err error) {
	fmt.Fprintln(w, "shiplog: "+clean(err.Error()))
}

// usageError is a command line that cannot be carried out.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// args checks the number of arguments; max < 0 is any number.
func args(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if len(given) < min || max >= 0 && len(given) > max {
			return usage("usage: %s", cmd.UseLine())
		}
		return nil
	}
}
