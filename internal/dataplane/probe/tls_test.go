package probe

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

func TestTLSHello(t *testing.T) {
	own, other := testpki.NewAuthority(t, "own"), testpki.NewAuthority(t, "other")
	verified := &dataplane.ClientTLS{CAs: [][]byte{own.Raw}}
	for _, test := range []struct {
		name   string
		pool   *dataplane.ClientTLS
		member func(net.Conn)
		want   string // a part of the reason; "": none
	}{
		{"any certificate is good where none is asked for", nil, handshake(issued(t, own)), ""},
		{"the pool's authority", verified, handshake(issued(t, own)), ""},
		{"another authority", verified, handshake(issued(t, other)), "TLS handshake failed: "},
		{"the pool's protocols", offering("h2", "http/1.1"), handshake(issued(t, own, "h2")), ""},
		{"no protocol in common", offering("h2"), handshake(issued(t, own, "other")), "TLS handshake failed: remote error: no application protocol"},
		{"plaintext", nil, func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-x\r\n") }, "TLS handshake failed: "},
		{"the member hangs up", nil, func(net.Conn) {}, "TLS handshake failed: the member closed the connection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorTLSHello}, TLS: test.pool}
			got := run(t, hostNet{}, pool, serve(t, test.member))
			if !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestTLSThatCannotBeConfigured(t *testing.T) {
	pool := dataplane.Pool{
		Monitor: &dataplane.Monitor{Type: dataplane.MonitorTLSHello}, TLS: &dataplane.ClientTLS{CAs: [][]byte{{1}}},
	}
	if got := run(t, hostNet{}, pool, at); !strings.HasPrefix(got, "cannot speak TLS: ") {
		t.Error(got)
	}
}

func offering(protocols ...string) *dataplane.ClientTLS {
	return &dataplane.ClientTLS{Handshake: dataplane.Handshake{ALPN: protocols}}
}

// handshake is a member that makes the handshake and waits for the end.
func handshake(config *tls.Config) func(net.Conn) {
	return func(raw net.Conn) {
		c := tls.Server(raw, config)
		if c.Handshake() == nil {
			_, _ = io.Copy(io.Discard, c)
		}
	}
}

func TestHTTPS(t *testing.T) {
	own, other := testpki.NewAuthority(t, "own"), testpki.NewAuthority(t, "other")
	unverifiable := &dataplane.ClientTLS{CAs: [][]byte{other.Raw}}
	for _, test := range []struct {
		name   string
		pool   *dataplane.ClientTLS
		member *tls.Config
		answer string
		want   string
	}{
		{"good", nil, issued(t, own), "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"the certificate is not verified", unverifiable, issued(t, own), "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"HTTP/1.1 by ALPN", offering("h2", "http/1.1"), issued(t, own, "http/1.1"), "HTTP/1.1 200 OK\r\n\r\n", ""},
		{"ill", nil, issued(t, own), "HTTP/1.1 500 Oh\r\n\r\n", "answered 500, expected 200"},
		{"closed", nil, issued(t, own), "", "connection closed before an answer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			target := serve(t, func(raw net.Conn) {
				c := tls.Server(raw, test.member)
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, test.answer)
				_ = c.Close()
			})
			pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorHTTPS}, TLS: test.pool}
			if got := run(t, hostNet{}, pool, target); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

// HTTP checks of a pool that speaks TLS with its members speak TLS, and verify as the pool does.
func TestHTTPOfPoolWithTLS(t *testing.T) {
	own, other := testpki.NewAuthority(t, "own"), testpki.NewAuthority(t, "other")
	config := issued(t, own)
	answer := func(c net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
		_ = c.Close()
	}
	secure, plain := serve(t, func(raw net.Conn) { answer(tls.Server(raw, config)) }), serve(t, answer)
	for _, test := range []struct {
		name  string
		pool  *dataplane.ClientTLS
		at    netip.AddrPort
		probe netip.AddrPort
		want  string
	}{
		{"unverified", &dataplane.ClientTLS{}, secure, secure, ""},
		{"verified", &dataplane.ClientTLS{CAs: [][]byte{own.Raw}}, secure, secure, ""},
		{"of somebody else", &dataplane.ClientTLS{CAs: [][]byte{other.Raw}}, secure, secure, "TLS handshake failed"},
		{"checked elsewhere", &dataplane.ClientTLS{}, secure, plain, ""},
		{"without TLS", nil, plain, plain, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			pool := dataplane.Pool{
				Monitor: &dataplane.Monitor{Type: dataplane.MonitorHTTP}, TLS: test.pool,
				Members: []dataplane.Member{{Address: test.at, Probe: test.probe}},
			}
			got := run(t, hostNet{}, pool, test.probe)
			if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestHTTPSOverHTTP2(t *testing.T) {
	var asked string
	target := serveHTTP2(t, testpki.NewAuthority(t, "own"), func(w http.ResponseWriter, r *http.Request) {
		asked = r.Method + " " + r.RequestURI + " " + r.Proto + " " + r.Host + " " + r.UserAgent()
		w.WriteHeader(http.StatusAccepted)
	})
	for codes, want := range map[string]string{"200-202": "", "200": "answered 202, expected 200"} {
		pool := dataplane.Pool{TLS: offering("h2", "http/1.1"), Monitor: &dataplane.Monitor{
			Type: dataplane.MonitorHTTPS, Method: "HEAD", Path: "/a%2Fb?c", Host: "example.com", HTTPVersion: "1.1", Codes: codes,
		}}
		if got := run(t, hostNet{}, pool, target); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if want := "HEAD /a%2Fb?c HTTP/2.0 example.com "; asked != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

func serveHTTP2(t *testing.T, a *testpki.Authority, handle http.HandlerFunc) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.30.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle, TLSConfig: issued(t, a, "h2")}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return netip.MustParseAddrPort(l.Addr().String())
}
