// Package proxyproto writes the headers of the PROXY protocol, by which members learn who their client is
// (https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt).
package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"

	"poise/internal/dataplane"
	"poise/internal/dataplane/tlsconf"
)

// signature begins every header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// The bytes of version 2 (§2.2 of the specification).
const (
	commandLocal = 0x20 // version 2: the connection is the proxy's own
	commandProxy = 0x21
	familyNone   = 0x00
	familyTCP4   = 0x11
	familyTCP6   = 0x21

	typeSSL    = 0x20
	sslVersion = 0x21
	sslCN      = 0x22
	sslCipher  = 0x23

	clientSSL         = 0x01 // the client speaks TLS
	clientCertConn    = 0x02 // it presented a certificate on this connection
	clientCertSession = 0x04 // it presented one in this TLS session
)

// maxName is how much of a client certificate's common name is told; the length of everything must fit 16 bits.
const maxName = 1024

// AppendHeader appends the header of that version for a connection of client to local, a listener's address. peer is what its
// TLS has shown, nil without TLS; only version 2 tells it. Without addresses the connection is the proxy's own, as that of a
// health check. Nothing is appended for [dataplane.NoProxy].
func AppendHeader(dst []byte, version dataplane.ProxyVersion, client, local netip.AddrPort, peer *tlsconf.Peer) []byte {
	client, local = sameFamily(client, local)
	switch version {
	case dataplane.ProxyV1:
		return appendV1(dst, client, local)
	case dataplane.ProxyV2:
		return appendV2(dst, client, local, peer)
	}
	return dst
}

// sameFamily writes both addresses as IPv4 if they are, else as IPv6.
func sameFamily(client, local netip.AddrPort) (c, l netip.AddrPort) {
	c = netip.AddrPortFrom(client.Addr().Unmap().WithZone(""), client.Port())
	l = netip.AddrPortFrom(local.Addr().Unmap().WithZone(""), local.Port())
	if c.Addr().Is4() == l.Addr().Is4() {
		return c, l
	}
	return netip.AddrPortFrom(netip.AddrFrom16(c.Addr().As16()), c.Port()), netip.AddrPortFrom(netip.AddrFrom16(l.Addr().As16()), l.Port())
}

func appendV1(dst []byte, client, local netip.AddrPort) []byte {
	if !client.IsValid() || !local.IsValid() {
		return append(dst, "PROXY UNKNOWN\r\n"...)
	}
	family := "PROXY TCP6 "
	if client.Addr().Is4() {
		family = "PROXY TCP4 "
	}
	dst = append(dst, family...)
	dst = append(appendText(dst, client.Addr()), ' ')
	dst = append(appendText(dst, local.Addr()), ' ')
	dst = append(strconv.AppendUint(dst, uint64(client.Port()), 10), ' ')
	dst = strconv.AppendUint(dst, uint64(local.Port()), 10)
	return append(dst, "\r\n"...)
}

// appendText writes an address without dots in IPv6 (::ffff:10.0.0.1), which not every parser of version 1 knows.
func appendText(dst []byte, a netip.Addr) []byte {
	if !a.Is4In6() {
		return a.AppendTo(dst)
	}
	v4 := a.As16()
	dst = append(dst, "::ffff:"...)
	dst = append(strconv.AppendUint(dst, uint64(binary.BigEndian.Uint16(v4[12:])), 16), ':')
	return strconv.AppendUint(dst, uint64(binary.BigEndian.Uint16(v4[14:])), 16)
}

func appendV2(dst []byte, client, local netip.AddrPort, peer *tlsconf.Peer) []byte {
	dst = append(dst, signature...)
	if !client.IsValid() || !local.IsValid() {
		return append(dst, commandLocal, familyNone, 0, 0)
	}
	family := byte(familyTCP6)
	if client.Addr().Is4() {
		family = familyTCP4
	}
	dst = append(dst, commandProxy, family, 0, 0)
	start := len(dst)
	dst = append(dst, client.Addr().AsSlice()...)
	dst = append(dst, local.Addr().AsSlice()...)
	dst = binary.BigEndian.AppendUint16(dst, client.Port())
	dst = binary.BigEndian.AppendUint16(dst, local.Port())
	if peer != nil {
		dst = appendSSL(dst, peer)
	}
	return closeLength(dst, start)
}

// appendSSL tells of the client's TLS, as HAProxy does with send-proxy-v2-ssl-cn, and the cipher.
func appendSSL(dst []byte, peer *tlsconf.Peer) []byte {
	dst = append(dst, typeSSL, 0, 0)
	start := len(dst)
	flags := byte(clientSSL)
	if peer.Certificate != nil {
		flags |= clientCertSession
		if !peer.Resumed {
			flags |= clientCertConn
		}
	}
	dst = append(dst, flags)
	dst = binary.BigEndian.AppendUint32(dst, uint32(peer.VerifyResult()))
	dst = appendTLV(dst, sslVersion, peer.Version)
	if name, ok := peer.SubjectField("CN"); ok {
		dst = appendTLV(dst, sslCN, name[:min(len(name), maxName)])
	}
	dst = appendTLV(dst, sslCipher, peer.Cipher)
	return closeLength(dst, start)
}

func appendTLV(dst []byte, kind byte, value string) []byte {
	dst = append(dst, kind)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(value)))
	return append(dst, value...)
}

// closeLength writes the length of what follows start into the two bytes before it.
func closeLength(dst []byte, start int) []byte {
	binary.BigEndian.PutUint16(dst[start-2:], uint16(len(dst)-start))
	return dst
}
