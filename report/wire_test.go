package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/dnsloop/dnsloop/plan"
	"github.com/dnsloop/dnsloop/report"
	"github.com/dnsloop/dnsloop/verdict"
)

// schema is as much of JSON Schema 2020-12 as ours uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"`
	Const      any                `json:"const"`
	Enum       []any              `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Items      *schema            `json:"items"`
	Pattern    string             `json:"pattern"`
	Minimum    *float64           `json:"minimum"`
	Maximum    *float64           `json:"maximum"`
	Defs       map[string]*schema `json:"$defs"`

	Schema, ID, Title, Description string // said, not checked
}

func (s *schema) UnmarshalJSON(b []byte) error {
	type fields schema
	aux := struct {
		*fields
		Schema      string `json:"$schema"`
		ID          string `json:"$id"`
		Title       string `json:"title"`
		Description string `json:"description"`
	}{fields: (*fields)(s)}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields() // a keyword that would go unchecked
	return d.Decode(&aux)
}

// check lists where v breaks the schema. Properties that the schema lacks are
// faults too: what is written is to be described.
func (s *schema) check(root *schema, at string, v any) []string {
	if s.Ref != "" {
		return root.Defs[strings.TrimPrefix(s.Ref, "#/$defs/")].check(root, at, v)
	}
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, at+": "+fmt.Sprintf(format, args...)) }
	if s.Type != nil && !hasType(s.Type, v) {
		fault("%v is not of type %v", v, s.Type)
	}
	if s.Const != nil && s.Const != v {
		fault("%v is not %v", v, s.Const)
	}
	if s.Enum != nil && !slices.Contains(s.Enum, v) {
		fault("%v is none of %v", v, s.Enum)
	}
	switch v := v.(type) {
	case string:
		if s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(v) {
			fault("%q does not match %s", v, s.Pattern)
		}
	case float64:
		if s.Minimum != nil && v < *s.Minimum || s.Maximum != nil && v > *s.Maximum {
			fault("%v is out of range", v)
		}
	case []any:
		for i, item := range v {
			faults = append(faults, s.Items.check(root, fmt.Sprintf("%s[%d]", at, i), item)...)
		}
	case map[string]any:
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				fault("%s is missing", name)
			}
		}
		for name, value := range v {
			if p := s.Properties[name]; p == nil {
				fault("%s is not described", name)
			} else {
				faults = append(faults, p.check(root, at+"."+name, value)...)
			}
		}
	}
	return faults
}

func hasType(want, v any) bool {
	names, ok := want.([]any)
	if !ok {
		names = []any{want}
	}
	number, isNumber := v.(float64)
	return slices.ContainsFunc(names, func(name any) bool {
		switch name {
		case "integer":
			return isNumber && number == math.Trunc(number)
		case "number":
			return isNumber
		case "null":
			return v == nil
		}
		kinds := map[any]reflect.Kind{"string": reflect.String, "boolean": reflect.Bool, "array": reflect.Slice, "object": reflect.Map}
		return v != nil && reflect.TypeOf(v).Kind() == kinds[name]
	})
}

func TestJSONSchema(t *testing.T) {
	b, err := os.ReadFile("../docs/schema/dnsloop-v1.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatalf("schema: %v", err)
	}
	for name, r := range reports {
		out := decode(t, write(t, "json", r))
		for _, fault := range s.check(&s, name, out) {
			t.Error(fault)
		}
	}
	// The schema itself must be able to say no.
	bad := decode(t, `{"schema": "dnsloop/v2", "verdict": "maybe", "exit_status": 2, "elapsed_ms": -1, "checks": null, "listeners": [{}]}`)
	if n := len(s.check(&s, "bad", bad)); n < 12 {
		t.Errorf("a bad report has %d faults, want at least 12", n)
	}
}

func decode(t *testing.T, s string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// field walks decoded JSON: strings name members, integers items.
func field(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func TestJSONValues(t *testing.T) {
	mix := decode(t, write(t, "json", reports["mix"]))
	hostile := decode(t, write(t, "json", hostile("\t\x1b\u202e")))
	unprobed := decode(t, write(t, "json", reports["unprobed"]))
	nothing := decode(t, write(t, "json", reports["nothing"]))
	for _, tt := range []struct {
		name      string
		got, want any
	}{
		{"elapsed has three decimals", field(mix, "elapsed_ms"), 212.401},
		{"a return's time is the least, not the first", field(mix, "checks", 2, "first_return_ms"), 1.4},
		{"no return, no time", field(mix, "checks", 0, "first_return_ms"), nil},
		{"the slowest answer", field(mix, "checks", 0, "rtt_ms"), 12.346},
		{"no answer, no round trip", field(mix, "checks", 1, "rtt_ms"), nil},
		{"2 forwarders", field(mix, "checks", 0, "missed_loop_probability", "2"), 0.00390625},
		{"3 forwarders", field(mix, "checks", 0, "missed_loop_probability", "3"), 256.0 / 6561},
		{"no answer misses surely", field(mix, "checks", 4, "missed_loop_probability", "3"), 1.0},
		{"a loop is not missed", field(mix, "checks", 2, "missed_loop_probability"), nil},
		{"not asked, no probability", field(unprobed, "checks", 0, "missed_loop_probability"), nil},
		{"why not asked", field(unprobed, "checks", 0, "unprobed"), "--no-probe"},
		{"why allowed", field(unprobed, "checks", 1, "allowed"), "unbound lives here"},
		{"source", field(mix, "checks", 6, "source"), map[string]any{"file": "my conf", "line": 7.0}},
		{"listener's error", field(mix, "listeners", 1, "error"), "bind: address already in use"},
		{"a program gets exact values", field(hostile, "remedies", 0, "old"), "\t\x1b\u202e"},
		{"no checks", field(nothing, "checks"), []any{}},
		{"no listeners", field(nothing, "listeners"), []any{}},
		{"no findings", field(nothing, "findings"), []any{}},
		{"no remedies", field(nothing, "remedies"), []any{}},
		{"no returns", field(mix, "checks", 0, "returns"), []any{}},
		{"no codes", field(mix, "checks", 0, "findings"), []any{}},
		{"no advice", field(mix, "findings", 3, "advice"), []any{}},
	} {
		if diff := cmp.Diff(tt.want, tt.got, cmpopts.EquateApprox(0, 1e-12)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// TestSARIFRules holds the log to the rules of SARIF 2.1.0 that concern what
// it uses, by section, and to those of GitHub's code scanning.
func TestSARIFRules(t *testing.T) {
	for name, r := range reports {
		out := decode(t, write(t, "sarif", r))
		if field(out, "version") != "2.1.0" || len(field(out, "runs").([]any)) != 1 { // 3.13
			t.Errorf("%s: want version 2.1.0 with one run", name)
		}
		driver := field(out, "runs", 0, "tool", "driver") // 3.19
		if u, err := url.Parse(field(driver, "informationUri").(string)); err != nil || !u.IsAbs() || field(driver, "name") != "dnsloop" {
			t.Errorf("%s: driver %v", name, driver)
		}
		ids := checkSARIFRules(t, field(driver, "rules").([]any))
		results := field(out, "runs", 0, "results").([]any)
		if len(results) != len(r.Findings) {
			t.Errorf("%s: %d results for %d findings", name, len(results), len(r.Findings))
		}
		for _, result := range results {
			checkSARIFResult(t, name, ids, result)
		}
		if got := field(out, "runs", 0, "invocations", 0, "executionSuccessful"); got != !r.Stopped { // 3.20.14
			t.Errorf("%s: executionSuccessful is %v", name, got)
		}
	}
}

func checkSARIFRules(t *testing.T, rules []any) []string {
	t.Helper()
	var ids []string
	for _, rule := range rules { // 3.49
		ids = append(ids, field(rule, "id").(string))
		for _, text := range []string{"shortDescription", "fullDescription", "help"} {
			if field(rule, text, "text") == "" {
				t.Errorf("rule %v has no %s", ids[len(ids)-1], text)
			}
		}
	}
	if len(slices.Compact(slices.Clone(ids))) != len(verdict.Codes) {
		t.Errorf("rules %v: want each of %d codes once", ids, len(verdict.Codes))
	}
	return ids
}

func checkSARIFResult(t *testing.T, name string, ids []string, result any) {
	t.Helper()
	if i := int(field(result, "ruleIndex").(float64)); ids[i] != field(result, "ruleId") { // 3.27.6
		t.Errorf("%s: ruleIndex names %s, ruleId %s", name, ids[i], field(result, "ruleId"))
	}
	if l := field(result, "level"); !slices.Contains([]any{"none", "note", "warning", "error"}, l) { // 3.27.10
		t.Errorf("%s: level %v", name, l)
	}
	if field(result, "message", "text") == "" { // 3.11.8
		t.Errorf("%s: no message", name)
	}
	physical := field(result, "locations", 0, "physicalLocation")
	if physical == nil {
		if field(result, "locations", 0, "logicalLocations") == nil {
			t.Errorf("%s: a location of neither kind", name)
		}
		return
	}
	artifact := field(physical, "artifactLocation")
	u, err := url.Parse(field(artifact, "uri").(string))
	_, based := field(artifact, "uriBaseId").(string)
	if err != nil || u.IsAbs() == based || strings.HasPrefix(u.Path, "..") { // 3.4.3, 3.4.4
		t.Errorf("%s: artifact %v, %v", name, artifact, err)
	}
	if region := field(physical, "region"); region != nil && field(region, "startLine").(float64) < 1 { // 3.30.5
		t.Errorf("%s: region %v", name, region)
	}
}

func TestSARIFLocations(t *testing.T) {
	type location = map[string]any
	physical := func(uri string, more ...any) location {
		artifact := location{"uri": uri}
		out := location{"artifactLocation": artifact}
		for _, m := range more {
			switch m := m.(type) {
			case string:
				artifact["uriBaseId"] = m
			case float64:
				out["region"] = location{"startLine": m}
			}
		}
		return location{"physicalLocation": out}
	}
	logical := func(name string) location {
		return location{"logicalLocations": []any{location{"name": name}}}
	}
	const root = "%SRCROOT%"
	inFile := check("10.0.0.2:53", ".", plan.UDP, verdict.Clear, answered(1))
	for _, tt := range []struct {
		source plan.Source
		dir    string
		checks []verdict.CheckReport
		want   location
	}{
		{source: plan.Source{File: "a/Corefile", Line: 3}, dir: "/srv", want: physical("a/Corefile", root, 3.0)},
		{source: plan.Source{File: "./a/../Corefile"}, dir: "/srv", want: physical("Corefile", root)},
		{source: plan.Source{File: "Corefile", Line: 1}, want: physical("Corefile", root, 1.0)},
		{source: plan.Source{File: "/srv/my conf#1%"}, dir: "/srv", want: physical("my%20conf%231%25", root)},
		{source: plan.Source{File: "a:b"}, dir: "/srv", want: physical("./a:b", root)},
		{source: plan.Source{File: "/etc/resolv.conf", Line: 2}, dir: "/srv", want: physical("file:///etc/resolv.conf", 2.0)},
		{source: plan.Source{File: "../x"}, dir: "/srv/w", want: physical("file:///srv/x")},
		{source: plan.Source{}, dir: "/srv", want: logical("command line")},
		{source: plan.Source{File: "-", Line: 2}, dir: "/srv", want: logical("standard input:2")},
		{source: plan.Source{}, dir: "/srv", checks: []verdict.CheckReport{inFile, at(inFile, "Corefile", 9)}, want: physical("Corefile", root)},
	} {
		r := verdict.Report{Findings: []verdict.Finding{{Code: "DL001", Level: verdict.Error, Message: "m", Source: tt.source}}, Checks: tt.checks}
		var b strings.Builder
		if err := (report.SARIF{Dir: tt.dir}).Write(&b, r); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(any(tt.want), field(decode(t, b.String()), "runs", 0, "results", 0, "locations", 0)); diff != "" {
			t.Errorf("%v in %q (-want +got):\n%s", tt.source, tt.dir, diff)
		}
	}
}

// element is any XML element.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// TestJUnit checks that the counts are those of the cases, that no two cases
// share a name, and what each case came to.
func TestJUnit(t *testing.T) {
	for name, want := range map[string]string{
		"mix":        "pass pass failure failure error error pass",
		"unprobed":   "failure pass",
		"over-tcp":   "pass skipped",
		"no-ear":     "error",
		"stopped":    "pass error",
		"nothing":    "",
		"empty-read": "failure",
		"hostile":    "failure pass skipped",
	} {
		t.Run(name, func(t *testing.T) {
			var root element
			d := xml.NewDecoder(strings.NewReader(write(t, "xml", reports[name])))
			if err := d.Decode(&root); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Token(); err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("after the root: %v", err)
			}
			suite := root.Children[0]
			var outcomes []string
			counts, names := map[string]int{}, map[string]bool{}
			for _, c := range suite.Children {
				if c.XMLName.Local != "testcase" {
					continue
				}
				outcome := "pass"
				for _, child := range c.Children {
					if k := child.XMLName.Local; k != "system-out" {
						outcome = k
						if child.attr("message") == "" {
							t.Errorf("%s has no message", k)
						}
					}
				}
				outcomes = append(outcomes, outcome)
				counts[outcome]++
				if n := c.attr("name"); names[n] || c.attr("classname") == "" || c.attr("time") == "" {
					t.Errorf("case %q: twice, or without classname or time", n)
				}
				names[c.attr("name")] = true
			}
			if got := strings.Join(outcomes, " "); got != want {
				t.Errorf("outcomes %q, want %q", got, want)
			}
			got := strings.Join([]string{suite.attr("tests"), suite.attr("failures"), suite.attr("errors"), suite.attr("skipped")}, " ")
			if sum := fmt.Sprint(len(outcomes), counts["failure"], counts["error"], counts["skipped"]); got != sum {
				t.Errorf("tests, failures, errors, skipped: %s, want %s", got, sum)
			}
		})
	}
}
