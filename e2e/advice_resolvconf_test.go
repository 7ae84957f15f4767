package e2e

// advisedHosts are named by their resolv.conf.
var advisedHosts = []advised{
	{
		name: "resolv.conf names the server itself",
		files: map[string]string{
			hostResolvConf: "# from the DHCP lease\nnameserver 127.0.0.53\noptions edns0 trust-ad\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{"in /etc/resolv.conf line 2 write `nameserver GOOD` instead of `nameserver 127.0.0.53`"},
	},
	{
		name: "resolv.conf has one nameserver that loops and one that does not",
		files: map[string]string{
			hostResolvConf: "nameserver LOOP\nnameserver GOOD\nsearch example.net\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{"in /etc/resolv.conf line 1 delete `nameserver LOOP`; `nameserver GOOD` stays"},
	},
	{
		name: "resolv.conf has two nameservers that loop",
		files: map[string]string{
			hostResolvConf: "nameserver 127.0.0.53\nnameserver LOOP\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{
			"in /etc/resolv.conf line 2 delete `nameserver LOOP`: line 1 gets `nameserver GOOD`",
			"in /etc/resolv.conf line 1 write `nameserver GOOD` instead of `nameserver 127.0.0.53`",
		},
	},
	{
		name: "resolv.conf has a nameserver that loops twice, and one that does not",
		files: map[string]string{
			hostResolvConf: "nameserver LOOP\nnameserver GOOD\nnameserver LOOP\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{
			"in /etc/resolv.conf line 3 delete `nameserver LOOP`; `nameserver GOOD` stays",
			"in /etc/resolv.conf line 1 delete `nameserver LOOP`; `nameserver GOOD` stays",
		},
	},
	{
		name: "resolv.conf names nobody, which is the local host",
		files: map[string]string{
			hostResolvConf: "options edns0\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{"add `nameserver GOOD` to /etc/resolv.conf"},
	},
	{
		name: "the kubelet hands on a resolv.conf that names the local host", pod: true,
		files: map[string]string{
			kubeletConfig:  kubeletFile("resolvConf: /etc/resolv.conf\n"),
			hostResolvConf: "nameserver 127.0.0.53\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		want: []string{
			"on the node, in /var/lib/kubelet/config.yaml write `resolvConf: /run/systemd/resolve/resolv.conf`, " +
				"so that pods get those upstreams",
			"quick fix: in the Corefile write `forward . GOOD` instead of `forward . /etc/resolv.conf`",
			"in /etc/resolv.conf line 1 write `nameserver GOOD` instead of `nameserver 127.0.0.53`",
		},
	},
	{
		name: "the kubelet hands on the local host and a loop", pod: true,
		files: map[string]string{
			kubeletConfig:  kubeletFile(""),
			hostResolvConf: "nameserver 127.0.0.53\nnameserver LOOP\n",
			resolvedFile:   "nameserver GOOD\n",
			"Corefile":     corefileOf(hostResolvConf),
		},
		args: []string{"--kubelet-config", kubeletConfig},
		want: []string{
			"on the node, in /var/lib/kubelet/config.yaml write `resolvConf: /run/systemd/resolve/resolv.conf`, " +
				"so that pods get those upstreams",
			"quick fix: in the Corefile write `forward . GOOD` instead of `forward . /etc/resolv.conf`",
			"in /etc/resolv.conf line 2 delete `nameserver LOOP`: line 1 gets `nameserver GOOD`",
			"in /etc/resolv.conf line 1 write `nameserver GOOD` instead of `nameserver 127.0.0.53`",
		},
	},
}
