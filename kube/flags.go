package kube

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseFlags reads kubelet's flags from an environment file, a systemd unit,
// or command lines.
func parseFlags(name string, data []byte) (Kubelet, error) {
	if len(data) > MaxSize {
		return Kubelet{}, &Error{File: name, Msg: fmt.Sprintf("expected at most %d MiB", MaxSize>>20)}
	}
	k := Kubelet{ResolvConf: DefaultResolvConf, From: FromDefault}
	flags, problems := kubeletFlags(arguments(string(data)))
	k.Problems = problems
	for _, f := range flags {
		switch f.name {
		case "resolv-conf":
			k.ResolvConf, k.From, k.Line = f.value, FromFlag, f.line
		case "cluster-dns":
			k.ClusterDNS = append(k.ClusterDNS, addresses(f, "kubelet passes over it", &k.Problems)...)
		case "cluster-domain":
			k.ClusterDomain = f.value
		case "node-ip":
			k.NodeIPs = addresses(f, "kubelet does not start", &k.Problems)
		case "config":
			k.Config = f.value
		}
	}
	return k, nil
}

// addresses reads a comma-separated list.
func addresses(f setting, reader string, problems *[]Problem) []netip.Addr {
	var addrs []netip.Addr
	for s := range strings.SplitSeq(f.value, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			*problems = append(*problems, Problem{Line: f.line, Reason: fmt.Sprintf("--%s: expected an IP address, found %q: %s", f.name, s, reader)})
			continue
		}
		addrs = append(addrs, a.Unmap())
	}
	return addrs
}

// setting is one of kubelet's flags that matter here.
type setting struct {
	name, value string
	line        int
}

// kubeletFlags picks the flags out of a command line as pflag reads it: the
// value behind "=" or as the next word, "_" as good as "-" in a name, and
// nothing after "--".
func kubeletFlags(args []word) (flags []setting, problems []Problem) {
	for i := 0; i < len(args) && args[i].text != "--"; i++ {
		name, ok := strings.CutPrefix(args[i].text, "--")
		if !ok {
			continue
		}
		f := setting{line: args[i].line}
		var given bool
		f.name, f.value, given = strings.Cut(name, "=")
		f.name = strings.ReplaceAll(f.name, "_", "-")
		switch f.name {
		case "resolv-conf", "cluster-dns", "cluster-domain", "node-ip", "config":
		default:
			continue
		}
		if !given {
			if i++; i == len(args) {
				problems = append(problems, Problem{Line: f.line, Reason: "--" + f.name + ": expected a value: kubelet does not start"})
				break
			}
			f.value = args[i].text
		}
		flags = append(flags, f)
	}
	return flags, problems
}

// arguments is the command line that the text of an environment file, a
// systemd unit or a shell command comes to. Where a unit says ExecStart=, the
// variables count that it names, in its order; otherwise all of them do, since
// kubelet's units name them all.
func arguments(text string) []word {
	var names []string // in the order in which they were first set
	vars := map[string]word{}
	var exec, plain []word
	set := func(assignment word) {
		name, value, ok := strings.Cut(assignment.text, "=")
		if !ok {
			return
		}
		if _, known := vars[name]; !known {
			names = append(names, name)
		}
		vars[name] = word{value, assignment.line}
	}
	for _, l := range logicalLines(text) {
		key, value, _ := strings.Cut(l.text, "=")
		value = strings.TrimLeft(value, " \t")
		switch key = strings.TrimSpace(key); {
		case key == "ExecStart":
			exec = split(word{value, l.line}, true) // an empty one takes back those before
		case key == "Environment" && value == "":
			names, vars = nil, map[string]word{}
		case key == "Environment":
			for _, w := range split(word{value, l.line}, true) {
				set(w)
			}
		case isVariable(key):
			for _, w := range split(l, false) {
				set(w)
			}
		case strings.ContainsAny(key, "-/ \t\n"): // no directive of a unit
			plain = append(plain, split(l, true)...)
		}
	}
	if exec == nil {
		for _, name := range names {
			exec = append(exec, word{text: "$" + name})
		}
	}
	args := plain
	for _, w := range exec {
		if name, ok := strings.CutPrefix(w.text, "$"); ok {
			args = append(args, split(vars[strings.Trim(name, "{}")], true)...)
			continue
		}
		args = append(args, w)
	}
	return args
}

// isVariable says whether s is an environment variable's name as kubelet's
// environment files have them: upper case.
func isVariable(s string) bool {
	for i, c := range s {
		if c != '_' && (c < 'A' || c > 'Z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// word is a piece of text and the line it starts at.
type word struct {
	text string
	line int
}

// logicalLines joins lines that end in a backslash with the next ones; the line
// break stays, as the white space that it means. Comments, section names and
// empty lines are left out.
func logicalLines(text string) []word {
	var lines []word
	joined := false
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		line = strings.TrimSuffix(line, "\r")
		t := strings.TrimSpace(line)
		comment := strings.HasPrefix(t, "#") || strings.HasPrefix(t, ";")
		body, more := strings.CutSuffix(line, `\`)
		switch {
		case joined && comment: // a comment does not end what it interrupts
			lines[len(lines)-1].text += "\n"
			continue
		case joined:
			lines[len(lines)-1].text += "\n" + body
		case t == "" || comment || t[0] == '[':
			continue
		default:
			lines = append(lines, word{strings.TrimLeft(body, " \t"), number})
		}
		joined = more
	}
	return lines
}

// split takes text apart at white space or, with words false, not at all. It
// takes quotes and backslashes away as systemd does: all is literal in single
// quotes, a backslash elsewhere takes the next byte as it is. A quote that does
// not end ends with the text.
func split(w word, words bool) []word {
	var out []word
	var b strings.Builder
	line, start, open := w.line, w.line, false // open: a word has begun, perhaps an empty one
	quote := byte(0)
	flush := func() {
		if open {
			out = append(out, word{b.String(), start})
		}
		b.Reset()
		open = false
	}
	begin := func() {
		if !open {
			open, start = true, line
		}
	}
	for i := 0; i < len(w.text); i++ {
		c := w.text[i]
		switch {
		case quote == 0 && words && strings.IndexByte(" \t\n", c) >= 0:
			flush()
		case quote == 0 && (c == '"' || c == '\''):
			begin()
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(w.text):
			begin()
			i++
			b.WriteByte(w.text[i])
		default:
			begin()
			b.WriteByte(c)
		}
		if c == '\n' {
			line++
		}
	}
	flush()
	return out
}
