// Command shiplog is the whole of Shiplog: the service, its ingress, the child processes that build images, and the
// command line that talks to it over HTTP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"shiplog/builder"
)

// version is set by the linker.
var version = "dev"

func main() {
	if builder.Main() { // this process is a build, or a part of one
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
