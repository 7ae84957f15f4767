// Dnsloop tells, before a DNS server starts, whether what it forwards would
// come back to it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/dnsloop/dnsloop/host"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends what the first did not
	// A closed pipe is an error of writing, which must not hide a loop's status.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	c := command{
		stdin:  os.Stdin,
		stdout: os.Stdout,
		stderr: os.Stderr,
		host:   host.Local,
	}
	status := c.run(ctx, os.Args[1:])
	stop()
	os.Exit(status)
}
