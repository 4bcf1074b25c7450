package main

import (
	"context"

	"github.com/spf13/cobra"
)

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string) int {
	serve := func(*cli) *cobra.Command { return newServeCommand() }
	ingress := func(*cli) *cobra.Command { return newIngressCommand() }
	return execute(ctx, newRoot(serve, ingress, newRebuildCommand, newClearCacheCommand, newDemoCommand), args)
}
