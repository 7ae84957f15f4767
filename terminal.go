package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/mattn/go-isatty"

	"github.com/dnsloop/dnsloop/probe"
	"github.com/dnsloop/dnsloop/report"
)

// quietFor is how long a run may take before it says that it is at work.
const quietFor = 500 * time.Millisecond

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// wantsColor is the rule of https://no-color.org, and dumb terminals'.
func wantsColor(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

// progress shows, on a terminal and only after a while, that the run goes on.
// The function it returns takes the line away again.
func (c command) progress(o options) (done func()) {
	if o.quiet || o.verbose || o.plan.NoProbe || !isTerminal(c.stderr) {
		return func() {}
	}
	start := time.Now()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(quietFor)
		defer tick.Stop()
		for shown := false; ; shown = true {
			select {
			case <-stop:
				if shown {
					fmt.Fprint(c.stderr, "\r\x1b[K")
				}
				return
			case now := <-tick.C:
				fmt.Fprintf(c.stderr, "\rdnsloop: waiting for answers, %.0f s of at most %.0f s",
					now.Sub(start).Seconds(), o.timeout.Seconds())
			}
		}
	})
	return func() {
		close(stop)
		wg.Wait()
	}
}

// trace writes one packet on standard error.
func (c command) trace(t probe.Trace) {
	line := fmt.Sprintf("%s %s %s", t.What, t.Upstream, t.Transport)
	if t.Query != "" {
		line += " " + t.Query
	}
	if t.Detail != "" {
		line += " " + t.Detail
	}
	fmt.Fprintln(c.stderr, report.Clean(line))
}
