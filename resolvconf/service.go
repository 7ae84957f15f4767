package resolvconf

import "net/netip"

// services are addresses that their makers fixed for one service: wherever
// they are seen, it is meant.
var services = map[netip.Addr]string{
	// systemd-resolved.service(8)
	netip.MustParseAddr("127.0.0.53"): "systemd-resolved's stub",
	netip.MustParseAddr("127.0.0.54"): "systemd-resolved's proxy stub",
	// Docker: user-defined networks
	netip.MustParseAddr("127.0.0.11"): "Docker's embedded DNS",
	// Debian and Ubuntu before 18.04: NetworkManager's and resolvconf's dnsmasq
	netip.MustParseAddr("127.0.1.1"): "NetworkManager's dnsmasq",
	// kubernetes.io/docs/tasks/administer-cluster/nodelocaldns
	netip.MustParseAddr("169.254.20.10"): "NodeLocal DNSCache",
	// tailscale.com/kb/1081/magicdns
	netip.MustParseAddr("100.100.100.100"):    "Tailscale's MagicDNS",
	netip.MustParseAddr("fd7a:115c:a1e0::53"): "Tailscale's MagicDNS",
	// Amazon VPC user guide, "Amazon DNS server"
	netip.MustParseAddr("169.254.169.253"): "Amazon's VPC resolver",
	netip.MustParseAddr("fd00:ec2::253"):   "Amazon's VPC resolver",
	// Google Compute Engine, "Internal DNS": the metadata server
	netip.MustParseAddr("169.254.169.254"): "the cloud's metadata server",
	// Azure, "What is IP address 168.63.129.16?"
	netip.MustParseAddr("168.63.129.16"): "Azure's virtual DNS server",
	// Windows Subsystem for Linux: dnsTunneling in .wslconfig
	netip.MustParseAddr("10.255.255.254"): "WSL's DNS tunnel",
}

// Service names the service that is known to answer at an address, as a noun
// phrase ("systemd-resolved's stub"), or is empty.
func Service(addr netip.Addr) string { return services[addr.Unmap()] }
