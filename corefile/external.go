package corefile

import "fmt"

// The stanzas of plugins that are not CoreDNS's own are read for their
// upstreams alone: none of them is asked, since how they choose among
// upstreams is not known here.

// fanout reads FROM TO... (github.com/networkservicemesh/fanout), whose options
// are its own.
func (r *reader) fanout(w *walker) error {
	for w.Next() {
		f, to, err := r.stanza(w, pluginFanout)
		if err != nil {
			return err
		}
		for w.NextBlock() {
			w.RemainingArgs()
		}
		r.external(f, to)
	}
	return nil
}

// alternate reads [original] RCODE,RCODE... FROM TO...
// (github.com/coredns/alternate).
func (r *reader) alternate(w *walker) error {
	for w.Next() {
		at := w.pos()
		args := arguments(w)
		if len(args) > 0 && args[0].text == "original" {
			args = args[1:]
		}
		for w.NextBlock() {
			w.RemainingArgs()
		}
		if len(args) < 3 {
			return &Error{at, "alternate expects rcodes, a zone and upstreams"}
		}
		zones := hostZones(args[1].text)
		if len(zones) == 0 {
			return &Error{at, fmt.Sprintf("alternate: not a zone: %q", args[1].text)}
		}
		r.external(Forward{Pos: at, Plugin: pluginAlternate, From: zones[0]}, args[2:])
	}
	return nil
}

// dnsredir reads FROM... { to TO... } (github.com/leiless/dnsredir), where FROM
// are files of zones, or a dot.
func (r *reader) dnsredir(w *walker) error {
	for w.Next() {
		f := Forward{Pos: w.pos(), Plugin: pluginDNSRedir, From: "."}
		w.RemainingArgs()
		var to []argument
		for w.NextBlock() {
			isTo := w.Val() == "to"
			if args := arguments(w); isTo {
				to = append(to, args...)
			}
		}
		r.external(f, to)
	}
	return nil
}

func (r *reader) external(f Forward, args []argument) {
	for _, a := range args {
		to := To{Text: a.text, Pos: a.pos, Reason: fmt.Sprintf("how the plugin %s asks its upstreams is not known here", f.Plugin)}
		var rest string
		to.Scheme, rest = cutScheme(a.text)
		r.address(&to, rest)
		f.To = append(f.To, to)
	}
	r.block.Forwards = append(r.block.Forwards, f)
}
