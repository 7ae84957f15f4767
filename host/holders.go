package host

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// States of sockets in /proc/net (include/net/tcp_states.h). An unconnected
// UDP socket shows as TCP_CLOSE.
const (
	tcpListen = "0A"
	udpUnconn = "07"
)

// socket is one line of /proc/net/{udp,udp6,tcp,tcp6}.
type socket struct {
	addr  netip.AddrPort
	inode string
}

// Holders lists the sockets of this network namespace that serve at a port over
// a transport ("udp", "tcp"): TCP ones that listen, UDP ones that are bound and
// not connected, by address. For TCP the
// kernel walks its whole table of connections, which takes milliseconds. Of a
// socket that several processes share, the one with the lowest pid is named. A :: wildcard may hold the port for IPv4 too:
// /proc does not tell. Where /proc is missing or tells nothing, so does
// Holders; naming a process of another user takes root.
func (h Host) Holders(transport string, port uint16) []Holder {
	var holders []Holder
	inodes := map[string][]int{} // to indices of holders
	for _, table := range []struct{ file, transport, state string }{
		{"udp", "udp", udpUnconn},
		{"udp6", "udp", udpUnconn},
		{"tcp", "tcp", tcpListen},
		{"tcp6", "tcp", tcpListen},
	} {
		if table.transport != transport {
			continue
		}
		f, err := os.Open(h.path("/proc/net/" + table.file))
		if err != nil {
			continue
		}
		for _, s := range readSockets(f, port, table.state, binary.NativeEndian) {
			inodes[s.inode] = append(inodes[s.inode], len(holders))
			holders = append(holders, Holder{Addr: s.addr, Transport: table.transport})
		}
		f.Close()
	}
	h.nameProcesses(holders, inodes)
	slices.SortStableFunc(holders, func(a, b Holder) int { return a.Addr.Compare(b.Addr) })
	return slices.Compact(holders)
}

// readSockets streams a table of sockets and keeps those with this local port
// and state. Busy hosts have 100 000 lines: a line is looked
// into only where it names the port. Lines that make no sense are passed over.
func readSockets(r io.Reader, port uint16, state string, order binary.ByteOrder) []socket {
	var found []socket
	local := fmt.Appendf(nil, ":%04X ", port)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), local) {
			continue
		}
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != state {
			continue
		}
		addr, err := parseHexAddrPort(f[1], order)
		if err != nil || addr.Port() != port {
			continue
		}
		found = append(found, socket{addr: addr, inode: f[9]})
	}
	return found
}

// parseHexAddrPort reads "3500007F:0035": an address as one or four 32-bit
// words in the byte order of the machine that wrote it, and a port in the usual
// one (tcp4_seq_show, udp4_format_sock, ip6_dgram_sock_seq_show).
func parseHexAddrPort(s string, order binary.ByteOrder) (netip.AddrPort, error) {
	text, portText, ok := strings.Cut(s, ":")
	if !ok || len(text) != 8 && len(text) != 32 {
		return netip.AddrPort{}, fmt.Errorf("%q: want 8 or 32 hex digits, a colon and a port", s)
	}
	port, err := strconv.ParseUint(portText, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: port: %w", s, err)
	}
	raw := make([]byte, len(text)/2)
	for i := 0; i < len(text); i += 8 {
		word, err := strconv.ParseUint(text[i:i+8], 16, 32)
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q: address: %w", s, err)
		}
		order.PutUint32(raw[i/2:], uint32(word))
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr.Unmap(), uint16(port)), nil
}

// nameProcesses finds who has the holders' inodes open, by the links in
// /proc/PID/fd. It looks at no process where there is no holder, and at none
// beyond the last one found.
func (h Host) nameProcesses(holders []Holder, inodes map[string][]int) {
	if len(inodes) == 0 {
		return
	}
	for _, pid := range h.pids() {
		if len(inodes) == 0 {
			return
		}
		dir := h.path(fmt.Sprintf("/proc/%d", pid))
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue // gone since, or another user's
		}
		for _, fd := range fds {
			link, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil {
				continue
			}
			inode, ok := strings.CutPrefix(link, "socket:[")
			inode = strings.TrimSuffix(inode, "]")
			if !ok || inodes[inode] == nil {
				continue
			}
			name := processName(dir + "/comm")
			for _, i := range inodes[inode] {
				holders[i].PID, holders[i].Process = pid, name
			}
			delete(inodes, inode)
		}
	}
}

// pids lists the processes in sight, lowest first.
func (h Host) pids() []int {
	entries, err := os.ReadDir(h.path("/proc"))
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids
}

// processName reads a comm file: at most 15 bytes, of any kind, since a process
// may call itself what it likes. What does not print becomes a question mark.
func processName(path string) string {
	comm, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.TrimSuffix(string(comm), "\n"))
}
