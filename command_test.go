package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dnsloop/dnsloop/host"
	"github.com/dnsloop/dnsloop/verdict"
)

// A signal while a pipe is read ends the run: nothing was proven.
func TestInterruptedReading(t *testing.T) {
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	c := command{stdin: r, stdout: &stdout, stderr: &stderr, host: host.Host{Root: t.TempDir()}}
	if got := c.run(ctx, []string{"-"}); got != verdict.ExitUnknown || stdout.Len() > 0 || !strings.Contains(stderr.String(), "interrupted") {
		t.Errorf("exit status %d, standard output %q, standard error %q", got, stdout.String(), stderr.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A report that cannot be written hides no loop, and never says 0.
func TestReportThatCannotBeWritten(t *testing.T) {
	for args, want := range map[string]int{
		"--no-probe --listen 127.0.0.9:53 127.0.0.9": verdict.ExitLoop,
		"--no-probe 10.0.0.2":                        verdict.ExitUnknown,
	} {
		var stderr bytes.Buffer
		c := command{stdin: strings.NewReader(""), stdout: full{}, stderr: &stderr, host: host.Host{Root: t.TempDir()}}
		if got := c.run(t.Context(), strings.Fields(args)); got != want || !strings.Contains(stderr.String(), "no space left") {
			t.Errorf("%s: exit status %d, want %d; standard error %q", args, got, want, stderr.String())
		}
	}
}

// A signal that comes while the report is written starts no server.
func TestInterruptedBeforeTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := command{
		stdin: strings.NewReader(""), stderr: io.Discard, host: host.Host{Root: t.TempDir()},
		stdout: writerFunc(func(b []byte) (int, error) { cancel(); return len(b), nil }),
	}
	if got := c.run(ctx, []string{"--no-probe", "10.0.0.2", "--", "true"}); got != verdict.ExitUnknown {
		t.Errorf("exit status %d, want %d", got, verdict.ExitUnknown)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
