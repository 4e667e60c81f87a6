package proxyproto_test

import (
	"bufio"
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	proxyprotocol "github.com/pires/go-proxyproto"
	"github.com/pires/go-proxyproto/tlvparse"

	"poise/internal/dataplane"
	"poise/internal/dataplane/proxyproto"
	"poise/internal/dataplane/tlsconf"
	"poise/internal/testpki"
)

var addresses = map[string]struct{ client, local, source, destination string }{
	"IPv4":          {"192.0.2.7:40000", "198.51.100.1:443", "192.0.2.7:40000", "198.51.100.1:443"},
	"IPv6":          {"[2001:db8::7]:1", "[2001:db8::1]:65535", "[2001:db8::7]:1", "[2001:db8::1]:65535"},
	"IPv4 in IPv6":  {"[::ffff:192.0.2.7]:40000", "[::ffff:198.51.100.1]:443", "192.0.2.7:40000", "198.51.100.1:443"},
	"with a zone":   {"[fe80::7%eth0]:40000", "[fe80::1%eth0]:443", "[fe80::7]:40000", "[fe80::1]:443"},
	"both families": {"192.0.2.7:40000", "[2001:db8::1]:443", "192.0.2.7:40000", "[2001:db8::1]:443"},
}

func TestAddresses(t *testing.T) {
	for name, a := range addresses {
		for _, version := range []dataplane.ProxyVersion{dataplane.ProxyV1, dataplane.ProxyV2} {
			header := proxyproto.AppendHeader(nil, version, netip.MustParseAddrPort(a.client), netip.MustParseAddrPort(a.local), nil)
			parsed := parse(t, header)
			got := []string{parsed.SourceAddr.String(), parsed.DestinationAddr.String()}
			if diff := cmp.Diff([]string{a.source, a.destination}, got); diff != "" {
				t.Errorf("%s, version %d, %q (-want +got):\n%s", name, version, header, diff)
			}
			if parsed.Command != proxyprotocol.PROXY || int(parsed.Version) != int(version) {
				t.Errorf("%s, version %d: command %v, version %d", name, version, parsed.Command, parsed.Version)
			}
		}
	}
}

func TestOwnConnections(t *testing.T) {
	if parsed := parse(t, proxyproto.AppendHeader(nil, dataplane.ProxyV2, netip.AddrPort{}, netip.AddrPort{}, nil)); parsed.Command != proxyprotocol.LOCAL {
		t.Errorf("version 2: command %v", parsed.Command)
	}
	header := proxyproto.AppendHeader([]byte("before "), dataplane.ProxyV1, netip.AddrPort{}, netip.AddrPort{}, nil)
	if string(header) != "before PROXY UNKNOWN\r\n" {
		t.Errorf("version 1: %q", header)
	}
	if header := proxyproto.AppendHeader(nil, dataplane.NoProxy, netip.AddrPort{}, netip.AddrPort{}, nil); header != nil {
		t.Errorf("no version: %q", header)
	}
}

func TestTLS(t *testing.T) {
	alice := testpki.NewAuthority(t, "ca").Issue(t, "alice").Certificate
	for name, c := range map[string]struct {
		peer tlsconf.Peer
		want tlvparse.PP2SSL
		cn   string
	}{
		"without certificate": {tlsconf.Peer{}, tlvparse.PP2SSL{Client: 1}, ""},
		"with certificate":    {tlsconf.Peer{Certificate: alice}, tlvparse.PP2SSL{Client: 1 | 2 | 4}, "alice"},
		"resumed":             {tlsconf.Peer{Certificate: alice, Resumed: true}, tlvparse.PP2SSL{Client: 1 | 4}, "alice"},
	} {
		c.peer.Version, c.peer.Cipher = "TLSv1.3", "TLS_AES_128_GCM_SHA256"
		local := netip.MustParseAddrPort("198.51.100.1:443")
		parsed := parse(t, proxyproto.AppendHeader(nil, dataplane.ProxyV2, local, local, &c.peer))
		tlvs, err := parsed.TLVs()
		if err != nil || len(tlvs) != 1 {
			t.Fatalf("%s: %v, %v", name, tlvs, err)
		}
		ssl, err := tlvparse.SSL(tlvs[0])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		version, _ := ssl.SSLVersion()
		cn, _ := ssl.ClientCN()
		cipher, _ := ssl.SSLCipher()
		if ssl.Client != c.want.Client || ssl.Verify != 0 || version != "TLSv1.3" || cn != c.cn || cipher != "TLS_AES_128_GCM_SHA256" {
			t.Errorf("%s: client %d, verify %d, %q, %q, %q", name, ssl.Client, ssl.Verify, version, cn, cipher)
		}
	}
}

func parse(t *testing.T, header []byte) *proxyprotocol.Header {
	t.Helper()
	reader := bufio.NewReader(bytes.NewReader(append(header, "data"...)))
	parsed, err := proxyprotocol.Read(reader)
	if err != nil {
		t.Fatalf("%q: %v", header, err)
	}
	if rest, _ := reader.Peek(4); string(rest) != "data" {
		t.Fatalf("%q is followed by %q", header, rest)
	}
	return parsed
}
