package corefile

import (
	"path/filepath"

	"github.com/coredns/caddy/caddyfile"
)

// directives are the plugins of CoreDNS 1.15 in the order in which it asks
// them (core/dnsserver/zdirectives.go).
var directives = []string{
	"root", "metadata", "geoip", "cancel", "proxyproto", "quic", "grpc_server", "https", "https3", "timeouts",
	"multisocket", "reload", "nsid", "bufsize", "bind", "debug", "trace", "ready", "health", "pprof", "shed",
	"prometheus", "errors", "log", "dnstap", "local", "dns64", "siit", "any", "chaos", "loadbalance", "tsig",
	"rewrite", "autopath", "acl", "cache", "header", "dnssec", "tls", "minimal", "template", "transfer", "dynupdate",
	"hosts", "route53", "azure", "clouddns", "k8s_external", "kubernetes", "file", "auto", "secondary", "etcd",
	"loop", "forward", "grpc", "erratic", "whoami", "on", "sign", "view", "nomad",
}

// externals are plugins that are built into CoreDNS by those who need them
// (coredns.io/explugins). Where they stand in the order is the builder's
// choice. A directive that is in neither list is an error, so that a misspelt
// forward is not passed over.
var externals = []string{
	"ads", "alias", "alternate", "amazondns", "bindns", "blocklist", "dnsredir", "docker", "demo", "ens", "example",
	"fanout", "finalize", "fritzbox", "gathersrv", "git", "gslb", "idetcd", "ipecho", "ipin", "ipset", "k8s_crd",
	"k8s_dns_chaos", "k8s_event", "k8s_gateway", "kubernetai", "kubenodes", "lighthouse", "mdns", "meshname",
	"meship", "multicluster", "mysql", "netbox", "nft", "nodes", "omada", "pdsql", "proxy", "record", "recursor",
	"redis", "redisc", "rrl", "split", "tailscale", "traefik", "unbound", "warnlist", "wgsd", "xdp",
}

// inOrder returns the directives of a block in CoreDNS's order, external ones
// last.
func inOrder(tokens map[string][]caddyfile.Token) []string {
	var names []string
	for _, list := range [][]string{directives, externals} {
		for _, name := range list {
			if tokens[name] != nil {
				names = append(names, name)
			}
		}
	}
	return names
}

// readRoot reads the directory that certificates are relative to.
func (r *reader) readRoot(w *walker) error {
	for w.Next() {
		dir, err := w.one("a directory")
		if err != nil {
			return err
		}
		r.root = dir
	}
	return nil
}

func (r *reader) rooted(paths []string) []string {
	for i, p := range paths {
		if !filepath.IsAbs(p) && r.root != "" {
			paths[i] = filepath.Join(r.root, p)
		}
	}
	return paths
}

// tls reads the certificate that the block serves with (plugin/tls/tls.go).
// Without arguments it comes by ACME, and there is no file to read.
func (r *reader) tls(w *walker) error {
	for w.Next() {
		files := w.RemainingArgs()
		if n := len(files); n == 1 || n > 3 {
			return w.errorf("tls expects a certificate and a key, and a CA at most, not %d files", n)
		}
		for w.NextBlock() {
			w.RemainingArgs()
		}
		if len(files) > 0 {
			files = r.rooted(files)
			r.block.Cert, r.block.Key = files[0], files[1]
		}
	}
	return nil
}

// readView notes that a block answers some queries only (plugin/view).
func (r *reader) readView(w *walker) error {
	w.Next()
	at := w.pos()
	r.block.view = &at
	return nil
}
