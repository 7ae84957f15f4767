package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/ipv4"
)

// headerLen is the length of a message's header (RFC 1035 section 4.1.1).
const headerLen = 12

// serve answers NXDOMAIN to everything, over UDP and TCP, from the address
// that was asked.
func serve(addr string) error {
	l, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	at, err := net.ResolveUDPAddr("udp4", l.Addr().String())
	if err != nil {
		return err
	}
	c, err := net.ListenUDP("udp4", at)
	if err != nil {
		return err
	}
	// Enough for every query that anybody has under way.
	c.SetReadBuffer(4 << 20)
	if err := ipv4.NewPacketConn(c).SetControlMessage(ipv4.FlagDst, true); err != nil {
		return err
	}
	fmt.Println(l.Addr())
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveStream(conn)
		}
	}()
	buf, oob := make([]byte, 4096), make([]byte, 64)
	for {
		n, oobn, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return err
		}
		if n >= headerLen {
			deny(buf)
			// The control message that says where a query arrived makes the
			// answer leave from there.
			c.WriteMsgUDPAddrPort(buf[:n], oob[:oobn], from)
		}
	}
}

// deny turns a query into its answer: QR, RA, NXDOMAIN.
func deny(msg []byte) {
	msg[2] |= 0x80
	msg[3] = msg[3]&0x70 | 0x83
}

// serveStream answers what has arrived before it reads on.
func serveStream(c net.Conn) {
	defer c.Close()
	r, w := bufio.NewReader(c), bufio.NewWriter(c)
	var buf [4096]byte
	for {
		if _, err := io.ReadFull(r, buf[:2]); err != nil {
			return
		}
		n := 2 + int(binary.BigEndian.Uint16(buf[:]))
		if n < 2+headerLen || n > len(buf) {
			return
		}
		if _, err := io.ReadFull(r, buf[2:n]); err != nil {
			return
		}
		deny(buf[2:])
		w.Write(buf[:n])
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
	}
}
