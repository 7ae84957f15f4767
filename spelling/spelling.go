// Package spelling holds what the readers of configurations share: how zones are
// spelt, and text that is safe to show.
package spelling

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// Lower folds the case of ASCII letters alone, as names do (RFC 4343): their
// other octets are no text, and stay.
func Lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// Reverse lists the zones under in-addr.arpa or ip6.arpa that together hold the
// names of a prefix (RFC 1035 section 3.5, RFC 3596 section 2.5): one where it
// ends at a label, else one for each value of its last label.
func Reverse(p netip.Prefix) []string {
	label := 8 // bits
	if p.Addr().Is6() {
		label = 4
	}
	kept := (p.Bits() + label - 1) / label // labels, the last perhaps in part
	zones := make([]string, 1<<(kept*label-p.Bits()))
	for i := range zones {
		bytes := p.Masked().Addr().AsSlice()
		if i > 0 {
			last := (kept - 1) * label // the bit at which the last label begins
			bytes[last/8] += byte(i << (8 - label - last%8))
		}
		zones[i] = reverse(bytes, kept, label)
	}
	return zones
}

func reverse(bytes []byte, kept, label int) string {
	var b strings.Builder
	for i := kept - 1; i >= 0; i-- {
		if label == 8 {
			fmt.Fprintf(&b, "%d.", bytes[i])
		} else {
			fmt.Fprintf(&b, "%x.", bytes[i/2]>>(4*(1-i%2))&15)
		}
	}
	if label == 8 {
		return b.String() + "in-addr.arpa."
	}
	return b.String() + "ip6.arpa."
}

// maxShown is how long a text that is shown may be, in characters: words of a
// file may be as long as the file.
const maxShown = 500

// Printable is s without what a terminal could choke on, and not too long.
func Printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > maxShown {
			return b.String() + "…"
		}
		if !unicode.IsPrint(r) {
			r = unicode.ReplacementChar
		}
		b.WriteRune(r)
	}
	return b.String()
}
