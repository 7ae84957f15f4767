package main

import (
	"bytes"
	"context"
	"embed"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/dnsloop/dnsloop/verdict"
)

//go:embed docs/explain/DL*.md
var pages embed.FS

// release is set by the linker in released binaries.
var release = ""

// commands are those beside the check. None of them takes a server to become.
func (c command) commands(ctx context.Context, server []string, status *int) []*cli.Command {
	sub := func(name, args, usage string, most int, action cli.ActionFunc) *cli.Command {
		return &cli.Command{
			Name: name, ArgsUsage: args, Usage: usage,
			OnUsageError: usageError, HideHelpCommand: true,
			Action: func(cc *cli.Context) error {
				if server != nil || cc.NArg() > most {
					return fmt.Errorf("%s: unexpected argument %q", name, append(cc.Args().Slice(), "--")[min(most, cc.NArg())])
				}
				return action(cc)
			},
		}
	}
	return []*cli.Command{
		sub("demo", " ", "show what loops look like, in a lab on loopback", 0, func(*cli.Context) error {
			var err error
			*status, err = c.demo(ctx)
			return err
		}),
		sub("explain", "[CODE]", "say what a finding means and what to do about it", 1, func(cc *cli.Context) error {
			return c.explain(cc.Args().First())
		}),
		sub("version", " ", "version, commit and Go of this binary", 0, func(*cli.Context) error {
			_, err := fmt.Fprintln(c.stdout, versionText())
			return err
		}),
	}
}

// explain prints one page, or the list of them.
func (c command) explain(code string) error {
	text, err := codeList(), error(nil)
	if code != "" {
		text, err = pages.ReadFile("docs/explain/" + strings.ToUpper(code) + ".md")
	}
	if err != nil {
		return fmt.Errorf("explain %q: expected a code from %s to %s", code, verdict.Codes[0].Code, verdict.Codes[len(verdict.Codes)-1].Code)
	}
	_, err = c.stdout.Write(text)
	return err
}

func codeList() []byte {
	var b bytes.Buffer
	for _, code := range verdict.Codes {
		fmt.Fprintf(&b, "%s  %-8s %s\n", code.Code, code.Level, code.Title)
	}
	return b.Bytes()
}

// version is the module's version, or the linker's word.
func version() string {
	if release != "" {
		return release
	}
	if bi, ok := debug.ReadBuildInfo(); ok && bi.Main.Version != "" {
		return bi.Main.Version
	}
	return "(devel)"
}

func versionText() string {
	commit := "unknown"
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				commit += " with changes"
			}
		}
	}
	return fmt.Sprintf("dnsloop %s, commit %s, %s %s/%s", version(), commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
