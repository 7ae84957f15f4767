// Package e2e holds dnsloop against real servers: dnsmasq, CoreDNS and Unbound
// in network namespaces of their own, each namespace a host. It knows dnsloop
// by its command line and its JSON alone.
//
// The tests need root and the tools that .ci/run installs. Without them they
// are skipped with the reason, and fail where CI=true.
package e2e
