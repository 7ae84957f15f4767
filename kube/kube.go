// Package kube reads what Kubernetes says about DNS: which resolv.conf a
// kubelet hands to pods, which Corefile a CoreDNS would read, and what that
// CoreDNS would find as its own /etc/resolv.conf. It is pure: it opens no
// file and knows neither the Corefile's syntax nor what a loop is.
package kube

import "fmt"

// MaxSize is how many bytes of input are read at most. A ConfigMap may hold
// 1 MiB; a dump of a namespace holds many.
const MaxSize = 8 << 20

// Error is input that cannot be read, and where.
type Error struct {
	File string
	Doc  int // YAML document, from 1; 0 where the input has none
	Line int // from 1; 0 where the file as a whole is meant
	Msg  string
}

func (e *Error) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Doc > 1 {
		s += fmt.Sprintf(": document %d", e.Doc)
	}
	return s + ": " + e.Msg
}

// Problem is a thing that its reader skips, rejects or misreads, while the
// rest of the input can be used.
type Problem struct {
	Doc    int // YAML document, from 1; 0 where the input has none
	Line   int
	Reason string // what is wrong and who does what with it
}
