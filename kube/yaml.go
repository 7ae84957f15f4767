package kube

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxNodes bounds the memory that the YAML library takes: about 200 bytes
	// a node. A dump of 8 MiB as kubectl writes it has half as many.
	maxNodes = 1 << 20
	// maxSteps bounds the walk over the nodes, each of which is visited some
	// five times: without aliases it is never reached; with them a short
	// document can stand for an endless one.
	maxSteps = 1 << 24
)

// document is one YAML document of a stream. JSON is YAML.
type document struct {
	number int // from 1
	root   *yaml.Node
}

// documents splits a stream into its documents. An empty one counts but is
// not returned. Aliases are not expanded.
func documents(file string, data []byte) ([]document, error) {
	if len(data) > MaxSize {
		return nil, &Error{File: file, Msg: fmt.Sprintf("expected at most %d MiB", MaxSize>>20)}
	}
	if nodesAtMost(data) > maxNodes {
		return nil, &Error{File: file, Msg: fmt.Sprintf("expected at most %d YAML values", maxNodes)}
	}
	var docs []document
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for number := 1; ; number++ {
		var n yaml.Node
		err := decode(dec, &n)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, yamlError(file, number, data, err)
		}
		if len(n.Content) == 1 && n.Content[0].Tag != "!!null" {
			docs = append(docs, document{number, n.Content[0]})
		}
	}
}

// decode is dec.Decode; the library panics on some malformed input.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed YAML: %v", r)
		}
	}()
	return dec.Decode(n)
}

// nodesAtMost is an upper bound of how many YAML nodes data can hold: each but
// the first stands behind one of these bytes, a mapping's two behind a colon.
func nodesAtMost(data []byte) int {
	n := 0
	for i, c := range data {
		switch c {
		case ':':
			n += 2
		case ',', '[', '{':
			n++
		case '-', '?':
			if i+1 == len(data) || strings.IndexByte(" \t\r\n", data[i+1]) >= 0 {
				n++
			}
		}
	}
	return n
}

var (
	yamlLine = pattern(`^(?:yaml: )?(?:line (\d+): )?`)
	// parserError is what the library's parser says, as against its scanner.
	parserError = pattern(`^did not find expected (?:<document start>|node content|'-' indicator|key|',' or)`)
)

// yamlError is the library's error with file, document and line. The library
// counts lines from 0 in its parser's errors and, for all, leaves out the first.
func yamlError(file string, doc int, data []byte, err error) error {
	msg, line := err.Error(), 1
	m := yamlLine().FindStringSubmatch(msg)
	if m[1] != "" {
		line, _ = strconv.Atoi(m[1]) // digits by the pattern
	}
	msg = msg[len(m[0]):]
	if m[1] != "" && parserError().MatchString(msg) {
		line = min(line+1, bytes.Count(data, []byte("\n"))+1) // not past the end
	}
	msg = "expected YAML or JSON: " + msg
	if bytes.Contains(data, []byte("{{")) {
		msg += " (a Helm template is read after `helm template` has rendered it)"
	}
	return &Error{File: file, Doc: doc, Line: line, Msg: msg}
}

// reader walks the nodes of a file's documents. Its methods follow aliases,
// take a nil node for an absent one, and of a key that is given twice they
// take the last, as sigs.k8s.io/yaml does.
type reader struct {
	file     string
	doc      int
	steps    int
	problems []Problem
}

// spent counts the visit of a node and says whether the walk has to end.
func (r *reader) spent(n *yaml.Node) bool {
	r.steps += 1 + len(n.Content)
	return r.steps > maxSteps
}

// err is the error of a walk that was ended.
func (r *reader) err() error {
	if r.steps <= maxSteps {
		return nil
	}
	return &Error{File: r.file, Doc: r.doc, Msg: "expected a document of bounded size: its aliases (*name) multiply it"}
}

// problem notes that something at n is not as its reader wants it.
func (r *reader) problem(n *yaml.Node, format string, args ...any) {
	r.problems = append(r.problems, Problem{Doc: r.doc, Line: n.Line, Reason: fmt.Sprintf(format, args...)})
}

// deref is what an alias stands for. An alias cannot name another alias.
func deref(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// field is one entry of a mapping.
type field struct{ key, value *yaml.Node }

// entry returns the entry of a mapping, with nil nodes where it has none.
func (r *reader) entry(n *yaml.Node, key string) field {
	n = deref(n)
	if n == nil || n.Kind != yaml.MappingNode || r.spent(n) {
		return field{}
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == key {
			return field{n.Content[i], deref(n.Content[i+1])}
		}
	}
	return field{}
}

// get goes down a path of mapping keys.
func (r *reader) get(n *yaml.Node, path ...string) *yaml.Node {
	n = deref(n)
	for _, key := range path {
		n = r.entry(n, key).value
	}
	return n
}

// fields are the entries of a mapping, each key once.
func (r *reader) fields(n *yaml.Node) []field {
	n = deref(n)
	if n == nil || n.Kind != yaml.MappingNode || r.spent(n) {
		return nil
	}
	var fields []field
	at := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := field{deref(n.Content[i]), deref(n.Content[i+1])}
		if j, ok := at[f.key.Value]; ok {
			r.problem(f.key, "%q is given twice: the one at line %d is not read", f.key.Value, fields[j].key.Line)
			fields[j] = f
			continue
		}
		at[f.key.Value] = len(fields)
		fields = append(fields, f)
	}
	return fields
}

// list is the content of a sequence.
func (r *reader) list(n *yaml.Node) []*yaml.Node {
	n = deref(n)
	if n == nil || n.Kind != yaml.SequenceNode || r.spent(n) {
		return nil
	}
	items := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		items[i] = deref(c)
	}
	return items
}

// str is the string below n; it is empty where that is none.
func (r *reader) str(n *yaml.Node, path ...string) string {
	if n = r.get(n, path...); isString(n) {
		return n.Value
	}
	return ""
}

// strs are the strings of a mapping (labels, a selector).
func (r *reader) strs(n *yaml.Node) map[string]string {
	var m map[string]string
	for _, f := range r.fields(n) {
		if isString(f.value) {
			if m == nil {
				m = map[string]string{}
			}
			m[f.key.Value] = f.value.Value
		}
	}
	return m
}

// isTrue reads a boolean as YAML 1.1 has it, which is what Kubernetes reads.
func (r *reader) isTrue(n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.ScalarNode || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "true", "yes", "on":
		return true
	}
	return false
}

// address reads an IP address; what is none becomes a problem. field names the
// place and reader says what becomes of such a value.
func (r *reader) address(n *yaml.Node, field, reader string) (Address, bool) {
	if !isString(n) {
		r.problem(n, "%s: expected an IP address as a string: %s", field, reader)
		return Address{}, false
	}
	a, err := netip.ParseAddr(n.Value)
	if err != nil || a.Zone() != "" {
		r.problem(n, "%s: expected an IP address, found %q: %s", field, n.Value, reader)
		return Address{}, false
	}
	return Address{Addr: a.Unmap(), Doc: r.doc, Line: n.Line}, true
}

// isString says whether n is a scalar that decodes into a string.
func isString(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str"
}

// isNull says whether n is absent, or the null that decoders take for absent.
func isNull(n *yaml.Node) bool {
	return n == nil || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null"
}
