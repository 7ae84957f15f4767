package e2e

import (
	"strings"
	"testing"
)

// TestNoRemedyThatDoesNotHelp: what forwards back too, is silent, or is this
// host itself is not offered, in whichever file it stands.
func TestNoRemedyThatDoesNotHelp(t *testing.T) {
	need(t, "dnsmasq")
	for _, c := range []struct {
		name  string
		files map[string]string
		args  []string
	}{
		{"the candidate loops", map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\n", resolvedFile: "nameserver LOOP\n"}, nil},
		{"the candidate is silent", map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\n", resolvedFile: "nameserver SILENT\n"}, nil},
		{"the candidate is this host", map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\n", resolvedFile: "nameserver SELF\nnameserver 127.0.0.1\n"}, nil},
		{"the other nameserver loops", map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\nnameserver LOOP\n"}, nil},
		{"the other nameserver is silent", map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\nnameserver SILENT\n"}, nil},
		{"a Corefile's candidates loop and are silent", map[string]string{
			"Corefile": corefileOf("LOOP"), resolvedFile: "nameserver SILENT\nnameserver LOOP\n"}, []string{"Corefile"}},
		{"a Corefile's other upstream is silent", map[string]string{
			"Corefile": corefileOf("LOOP SILENT")}, []string{"Corefile"}},
		{"a Corefile's candidate loops in another zone than its upstream", map[string]string{
			"Corefile": "example.com:53 example.org:53 {\n\tforward . ORG\n}\n", resolvedFile: "nameserver COM\n"}, []string{"Corefile"}},
		{"a circle without a way out", map[string]string{
			"Corefile": corefileOf("127.0.0.1:1053") + ".:1053 {\n\tforward . 127.0.0.1\n}\n", resolvedFile: "nameserver LOOP\n"}, []string{"Corefile"}},
		{"no candidate", map[string]string{hostResolvConf: "nameserver LOOP\n"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			h, back, silent, com, org, good := n.host(), n.host(), n.host(), n.host(), n.host(), n.host()
			good.resolver()
			back.dnsmasq(back.v4, 53, via(h.v4, 53, "#"))
			com.dnsmasq(com.v4, 53, "/example.com/"+h.v4, good.v4)
			org.dnsmasq(org.v4, 53, "/example.org/"+h.v4, good.v4)
			silent.drop("udp", 53)
			silent.drop("tcp", 53)
			names := strings.NewReplacer("LOOP", back.v4, "SILENT", silent.v4, "SELF", h.v4, "COM", com.v4, "ORG", org.v4)
			for path, text := range c.files {
				write(t, h.real(path), names.Replace(text))
			}
			r, status, remedies, text := h.advise(t, c.args...)
			r.expect(t, status, "loop", 1)
			if len(remedies) > 0 {
				t.Errorf("offered: %+v", remedies)
			}
			for _, step := range written.FindAllStringSubmatch(text, -1) {
				if _, value, _ := strings.Cut(step[2], " "); strings.ContainsAny(value, "0123456789") {
					t.Errorf("the text tells to write an address that nobody found clear: %q", step[0])
				}
			}
		})
	}
}
