package e2e

import "strings"

// corefileOf is a Corefile that forwards to upstreams.
func corefileOf(upstreams string) string {
	return ".:53 {\n\tchaos\n\terrors\n\tforward . " + upstreams + " {\n\t\tmax_fails 2\n\t}\n}\n"
}

// advisedCorefiles are named by their Corefile.
var advisedCorefiles = []advised{
	{
		name:  "Corefile forwards to a loop",
		files: map[string]string{resolvedFile: "nameserver GOOD\n", "Corefile": corefileOf("LOOP")},
		args:  []string{"Corefile"},
		want:  []string{"in Corefile line 4 write `forward . GOOD {` instead of `forward . LOOP {`"},
	},
	{
		name:  "Corefile forwards to a loop and to a server",
		files: map[string]string{"Corefile": corefileOf("LOOP GOOD")},
		args:  []string{"Corefile"},
		want:  []string{"in Corefile line 4 write `forward . GOOD {` instead of `forward . LOOP GOOD {`"},
	},
	{
		name:  "Corefile forwards to a file whose second nameserver loops",
		files: map[string]string{"up.conf": "nameserver GOOD\nnameserver LOOP\n", "Corefile": corefileOf("up.conf")},
		args:  []string{"Corefile"},
		want:  []string{"in up.conf line 2 delete `nameserver LOOP`; `nameserver GOOD` stays"},
	},
	{
		name: "Corefile forwards to /etc/resolv.conf, which names the server itself",
		files: map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		args: []string{"Corefile"},
		want: []string{"in /etc/resolv.conf line 1 write `nameserver GOOD` instead of `nameserver 127.0.0.53`"},
	},
	{
		name: "Corefile forwards to the server itself, and twice to a loop",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   corefileOf("127.0.0.53 LOOP dns://LOOP:53 LOOP"),
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 4 write `forward . GOOD {` instead of `forward . 127.0.0.53 LOOP dns://LOOP:53 LOOP {`"},
	},
	{
		name: "Corefile has carriage returns, and a loop in quotes",
		files: map[string]string{
			"Corefile": strings.ReplaceAll(corefileOf("\"LOOP\"  GOOD \"LOOP\""), "\n", "\r\n"),
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 4 write `forward . GOOD {` instead of `forward . \"LOOP\" GOOD \"LOOP\" {`"},
	},
	{
		name: "Corefile forwards to a loop, and to a file that names it too",
		files: map[string]string{
			"up.conf":  "nameserver LOOP\nnameserver GOOD\n",
			"Corefile": corefileOf("up.conf LOOP"),
		},
		args: []string{"Corefile"},
		want: []string{
			"in up.conf line 1 delete `nameserver LOOP`; `nameserver GOOD` stays",
			"in Corefile line 4 write `forward . up.conf {` instead of `forward . up.conf LOOP {`",
		},
	},
	{
		name: "Corefile's blocks import a line, and one has two zones of which one loops",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   "(up) {\n\tforward . LOOP\n}\n.:53 {\n\tchaos\n\timport up\n}\nexample.org:53 example.com:53 {\n\timport up\n}\n",
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 2 write `forward . GOOD` instead of `forward . LOOP`"},
	},
	{
		name: "Corefile forwards in a circle",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   corefileOf("127.0.0.1:1053") + ".:1053 {\n\tforward . 127.0.0.1\n}\n",
		},
		args: []string{"Corefile"},
		want: []string{
			"in Corefile line 9 write `forward . GOOD` instead of `forward . 127.0.0.1`",
			"in Corefile line 4 write `forward . GOOD {` instead of `forward . 127.0.0.1:1053 {`",
		},
	},
	{
		name: "Corefile forwards in a circle that has a way out",
		files: map[string]string{
			"Corefile": corefileOf("127.0.0.1:1053") + ".:1053 {\n\tforward . 127.0.0.1 GOOD\n}\n",
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 9 write `forward . GOOD` instead of `forward . 127.0.0.1 GOOD`"},
	},
	{
		name: "Corefile forwards a zone in a circle over an address of the host",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   corefileOf("GOOD") + "example.org:53 {\n\tforward . SELF:1053\n}\nexample.org:1053 {\n\tbind SELF\n\tforward . SELF\n}\n",
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 13 write `forward . GOOD` instead of `forward . SELF`"},
	},
	{
		name: "Corefile forwards to where its block is bound",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   ".:53 {\n\tchaos\n\tbind SELF\n\tforward . SELF\n}\n",
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 4 write `forward . GOOD` instead of `forward . SELF`"},
	},
	{
		name: "Corefile forwards to an address of the host, where it listens on all",
		files: map[string]string{
			resolvedFile: "nameserver GOOD\n",
			"Corefile":   corefileOf("SELF"),
		},
		args: []string{"Corefile"},
		want: []string{"in Corefile line 4 write `forward . GOOD {` instead of `forward . SELF {`"},
	},
}
