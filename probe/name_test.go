package probe

import (
	"strings"
	"testing"
)

func TestLabelsReadBack(t *testing.T) {
	for range 1000 {
		inner, _ := newLabel()
		if outer := inner.twin(); outer == inner || outer.twin() != inner || outer&^labelMask != labelTop {
			t.Fatalf("labels %d and %d do not lead to each other", inner, outer)
		}
		for _, s := range []bool{false, true} {
			wire := inner.append(nil, s)
			if int(wire[0]) != len(wire)-1 {
				t.Fatalf("%q: the length octet says %d", wire, wire[0])
			}
			for _, text := range []string{string(wire[1:]), strings.ToUpper(string(wire[1:]))} {
				if got, ok := parseLabel([]byte(text)); !ok || got != inner {
					t.Fatalf("%q read back as %d, %v; want %d", text, got, ok, inner)
				}
			}
		}
	}
}

func TestForeignLabels(t *testing.T) {
	for _, s := range []string{
		"", "www", "1234567890123456789"[:18], "12345678901234567890", "123456789012345678x",
		"abcdefghijklm", "abcdefghijklmno", "abcdefghijklm-", "aaaaaaaaaaaaaa", "0000000000000000001",
		"zzzzzzzzzzzzzz", "9999999999999999999",
	} {
		if l, ok := parseLabel([]byte(s)); ok {
			t.Errorf("%q was taken for label %d", s, l)
		}
	}
}

// The names of a run must not be guessable (CVE-2026-26018): no bit of a label
// but the top one may be fixed.
func TestLabelsUseEveryBit(t *testing.T) {
	var ones, zeros label
	for range 2000 {
		l, _ := newLabel()
		ones |= l
		zeros |= ^l
	}
	if ones != 1<<62-1 || zeros&labelMask != labelMask {
		t.Errorf("bits that were ever one %x, ever zero %x", uint64(ones), uint64(zeros&labelMask))
	}
}

func TestFindAnywhereInTheName(t *testing.T) {
	var r registry
	const zone = "\x07example\x03org\x00"
	p := testProbe(t, "example.org.", letters)
	r.add(p)
	outer, inner := string(p.inner.twin().append(nil, true)), string(p.inner.append(nil, true))
	for what, name := range map[string]string{
		"as sent":        outer + inner + zone,
		"upper case":     strings.ToUpper(outer+inner) + zone,
		"minimised":      inner + zone,
		"suffix added":   outer + inner + "\x07example\x03org\x03lan\x00",
		"label stripped": outer + zone,
		"another prefix": "\x03www" + inner + zone,
	} {
		if r.find([]byte(name)) != p {
			t.Errorf("%s: %q was not found", what, name)
		}
	}
	other := testProbe(t, "example.org.", letters)
	for _, name := range []string{"\x00", zone, "\x03www" + zone, string(other.inner.append(nil, false)) + zone} {
		if r.find([]byte(name)) != nil {
			t.Errorf("%q was taken for one of ours", name)
		}
	}
}
