package host

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
)

// Addrs lists the addresses of this host, loopback ones included, sorted, each
// once; link-local addresses of IPv6 have their interface as zone. Addresses
// that a routed prefix makes local (all of 127.0.0.0/8, an AnyIP route) are
// not listed one by one. The error names the file of /proc that is missing or
// cannot be read.
func (h Host) Addrs() ([]netip.Addr, error) {
	if h.Root == "/" && runtime.GOOS != "linux" {
		return interfaceAddrs()
	}
	addrs, err := readAddrs(h.path("/proc/net/fib_trie"), parseFibTrie)
	if err != nil {
		return nil, fmt.Errorf("own addresses: %w", err)
	}
	v6, err := readAddrs(h.path("/proc/net/if_inet6"), parseIfInet6)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // missing where IPv6 is off
		return nil, fmt.Errorf("own addresses: %w", err)
	}
	return sorted(append(addrs, v6...)), nil
}

func readAddrs(path string, parse func(io.Reader) ([]netip.Addr, error)) ([]netip.Addr, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	addrs, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return addrs, nil
}

// sorted is addrs in order, each once.
func sorted(addrs []netip.Addr) []netip.Addr {
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// parseFibTrie finds the host's IPv4 addresses in the kernel's routing tables
// (fib_trie_seq_show in net/ipv4/fib_trie.c): a leaf "|-- 192.0.2.2", and below
// it one line for each of its routes, of which "/32 host LOCAL" makes the
// address this host's.
func parseFibTrie(r io.Reader) ([]netip.Addr, error) {
	var addrs []netip.Addr
	var leaf netip.Addr
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		switch f := strings.Fields(lines.Text()); {
		case len(f) == 2 && f[0] == "|--":
			leaf, _ = netip.ParseAddr(f[1])
		case len(f) >= 3 && f[0] == "/32" && f[2] == "LOCAL" && leaf.Is4():
			addrs = append(addrs, leaf)
		}
	}
	return addrs, lines.Err()
}

// parseIfInet6 reads if6_seq_show of net/ipv6/addrconf.c: the address in 32 hex
// digits, interface index, prefix length, scope and flags in hex, and the
// interface's name.
func parseIfInet6(r io.Reader) ([]netip.Addr, error) {
	var addrs []netip.Addr
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 6 {
			continue
		}
		raw, err := hex.DecodeString(f[0])
		if err != nil || len(raw) != 16 {
			continue
		}
		addr := netip.AddrFrom16([16]byte(raw)).Unmap()
		if addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(f[5])
		}
		addrs = append(addrs, addr)
	}
	return addrs, lines.Err()
}

// interfaceAddrs is Addrs for systems without Linux's /proc.
func interfaceAddrs() ([]netip.Addr, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("own addresses: %w", err)
	}
	var addrs []netip.Addr
	for _, i := range interfaces {
		nets, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("own addresses: interface %s: %w", i.Name, err)
		}
		for _, n := range nets {
			prefix, err := netip.ParsePrefix(n.String())
			if err != nil {
				continue
			}
			addr := prefix.Addr().Unmap()
			if addr.IsLinkLocalUnicast() {
				addr = addr.WithZone(i.Name)
			}
			addrs = append(addrs, addr)
		}
	}
	return sorted(addrs), nil
}
