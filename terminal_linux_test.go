package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dnsloop/dnsloop/host"
	"github.com/dnsloop/dnsloop/lab"
	"github.com/dnsloop/dnsloop/verdict"
)

// terminal is a pseudo-terminal: what is written to it is read back.
func terminal(t *testing.T) (tty *os.File, written func() string) {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	fd := int(ptmx.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(&b, ptmx) // ends with EIO when the terminal is closed
	}()
	return tty, func() string {
		tty.Close()
		<-done
		ptmx.Close()
		return b.String()
	}
}

func TestTerminal(t *testing.T) {
	silent, err := lab.Start(lab.Silent())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "xterm")
	run := func(args ...string) (stdout, stderr string) {
		out, outText := terminal(t)
		errs, errText := terminal(t)
		c := command{stdin: strings.NewReader(""), stdout: out, stderr: errs, host: host.Host{Root: t.TempDir()}}
		if got := c.run(t.Context(), args); got != verdict.ExitUnknown {
			t.Errorf("%q: exit status %d, want %d", args, got, verdict.ExitUnknown)
		}
		return outText(), errText()
	}
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--listen", addr, "--timeout", "1200ms", silent.Addr().String()}

	stdout, stderr := run(args...)
	if !strings.Contains(stderr, "waiting for answers") || !strings.HasSuffix(stderr, "\r\x1b[K") {
		t.Errorf("standard error %q: want a line of progress, taken away at the end", stderr)
	}
	if !strings.Contains(stdout, "\x1b[33munknown") {
		t.Errorf("standard output %q: want colours on a terminal", stdout)
	}
	if _, stderr := run(append([]string{"-q"}, args...)...); stderr != "" {
		t.Errorf("-q: standard error %q: want nothing", stderr)
	}
	t.Setenv("NO_COLOR", "1")
	if stdout, _ := run(args...); strings.Contains(stdout, "\x1b") {
		t.Errorf("NO_COLOR: standard output %q", stdout)
	}
	t.Setenv("NO_COLOR", "")
	t.Setenv("TERM", "dumb")
	if stdout, _ := run(args...); strings.Contains(stdout, "\x1b") {
		t.Errorf("TERM=dumb: standard output %q", stdout)
	}
}
