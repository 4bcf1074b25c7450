package main

import "context"

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string) int {
	return execute(ctx, newRoot(), args)
}
