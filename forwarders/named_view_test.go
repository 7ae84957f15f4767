package forwarders

import (
	"fmt"
	"net/netip"
	"testing"
)

// TestHome: the first view that matches takes a question, and asks the servers of
// the longest zone, or nobody where it answers by itself.
func TestHome(t *testing.T) {
	const conf = `acl mine { 10.1.0.0/16; !10.0.0.9; 10.0.0.0/16; };
options { forwarders { 192.0.2.1; }; };
view "chaos" chaos { match-clients { any; }; };
view "mine" { match-clients { mine; }; match-destinations { 127.0.0.1; };
	zone "corp.example" { type forward; forwarders { 192.0.2.2; }; };
	zone "none.corp.example" { type forward; forwarders { }; };
	zone "own.example" { type primary; file "x"; };
	zone "." { type hint; file "x"; };
};
view "keyed" { match-clients { key "k"; }; };
view "theirs" { match-clients { elsewhere; }; match-destinations { 127.0.0.2; }; recursion no; };
view "rest" { match-destinations { !127.0.0.4; any; }; forwarders { }; };
`
	c, err := Parse(Named, "f", []byte(conf), Env{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ zone, from, to, want string }{
		{".", "10.1.2.3", "127.0.0.1", "mine [192.0.2.1:53]"},
		{"example.", "::ffff:10.0.0.1", "127.0.0.1", "mine [192.0.2.1:53]"},
		{"corp.example.", "10.0.0.1", "127.0.0.1", "mine [192.0.2.2:53]"},
		{"a.corp.example.", "10.0.0.1", "127.0.0.1", "mine [192.0.2.2:53]"},
		{"none.corp.example.", "10.0.0.1", "127.0.0.1", "mine []"},
		{"own.example.", "10.0.0.1", "127.0.0.1", "mine []"},
		{".", "10.0.0.9", "127.0.0.1", "rest []"},
		{".", "10.0.0.1", "127.0.0.2", "theirs []"},
		{"corp.example.", "10.0.0.1", "127.0.0.3", "rest []"},
		{".", "10.0.0.1", "127.0.0.4", "nobody"},
	} {
		got := "nobody"
		if view, asked, ok := c.Home(tt.zone, netip.MustParseAddr(tt.from), netip.MustParseAddr(tt.to)); ok {
			var addrs []string
			for _, u := range asked {
				addrs = append(addrs, u.Addr.String())
			}
			got = fmt.Sprint(view, " ", addrs)
		}
		if got != tt.want {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
	if c, err := Parse(Named, "f", []byte("options { forwarders { 192.0.2.1; }; };"), Env{}); err != nil || c.Views != nil {
		t.Errorf("%v, %d views where there is none", err, len(c.Views))
	}
}
