package probe

import (
	"crypto/rand"
	"encoding/binary"
	"strconv"
)

// A label is one random label of a probe's name: 62 bits, the top one set so
// that its decimal form always has 19 digits. Nobody can guess one, so a name
// that holds one of this run's labels is one of this run's probes.
type label uint64

const (
	labelTop   = 1 << 61
	labelMask  = labelTop - 1
	labelWidth = 14 // letters: 26^14 > 2^62
)

// veil lies between the two labels of every name of this process, so that each
// leads to the other. It tells nothing of any other name: of a label that was
// not seen, all bits stay unknown.
var veil = func() label { l, _ := newLabel(); return l & labelMask }()

// newLabel draws the inner label of a probe, and its message ID.
func newLabel() (inner label, id uint16) {
	var b [10]byte
	rand.Read(b[:]) // never fails: crypto/rand aborts the program instead
	return label(binary.BigEndian.Uint64(b[:]))&labelMask | labelTop, binary.BigEndian.Uint16(b[8:])
}

// twin is the outer label that goes with an inner one, and the inner one that
// goes with an outer.
func (l label) twin() label { return l ^ veil }

// append writes the label in wire form, its length first: in digits, or in
// letters. A validating resolver that holds one signed denial for all-digit
// names (RFC 8198: the root's NSEC record before aaa.) answers those itself,
// so probes come in both shapes.
func (l label) append(b []byte, asLetters bool) []byte {
	at := len(b)
	b = append(b, 0)
	if !asLetters {
		b = strconv.AppendUint(b, uint64(l), 10)
	} else {
		var w [labelWidth]byte
		for v, i := uint64(l), labelWidth-1; i >= 0; i-- {
			w[i] = 'a' + byte(v%26)
			v /= 26
		}
		b = append(b, w[:]...)
	}
	b[at] = byte(len(b) - at - 1)
	return b
}

// parseLabel reads a label back, whatever became of the case of its letters on
// the way (draft-vixie-dnsext-dns0x20).
func parseLabel(b []byte) (label, bool) {
	var v uint64
	switch len(b) {
	case 19:
		for _, c := range b {
			if c < '0' || c > '9' {
				return 0, false
			}
			v = v*10 + uint64(c-'0')
		}
	case labelWidth:
		for _, c := range b {
			c |= 0x20
			if c < 'a' || c > 'z' {
				return 0, false
			}
			v = v*26 + uint64(c-'a')
		}
	default:
		return 0, false
	}
	return label(v), v&^labelMask == labelTop
}
