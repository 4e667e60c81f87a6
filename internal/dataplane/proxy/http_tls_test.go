package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// certificate is one as the configuration has it.
func certificate(t *testing.T, pair testpki.Pair) dataplane.Certificate {
	t.Helper()
	return dataplane.Certificate{Chain: pair.Chain, Key: pair.KeyDER(t)}
}

// secureMember is a member that is a TLS server of net/http.
func secureMember(t *testing.T, name string, pair testpki.Pair, handler http.HandlerFunc) dataplane.Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.20.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	config := &tls.Config{Certificates: []tls.Certificate{pair.TLS()}, NextProtos: []string{"h2", "http/1.1"}}
	done := make(chan struct{})
	server.TLSConfig = config
	go func() { _ = server.ServeTLS(l, "", ""); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return member(name, l.Addr().String())
}

// TestTLSBothWays sends large and small requests through listeners and pools with and without TLS, over both versions of HTTP.
func TestTLSBothWays(t *testing.T) {
	authority := testpki.NewAuthority(t, "test")
	pair := authority.Issue(t, "site.example", testpki.DNS("site.example"))
	for _, test := range []struct {
		name            string
		clients, member bool
		alpn            []string // of clients
		memberALPN      []string
		wantClient      string
		wantMember      string
	}{
		{"clients", true, false, []string{"http/1.1"}, nil, "HTTP/1.1", "HTTP/1.1"},
		{"clients with HTTP/2", true, false, []string{"h2", "http/1.1"}, nil, "HTTP/2.0", "HTTP/1.1"},
		{"members", false, true, nil, nil, "HTTP/1.1", "HTTP/1.1"},
		{"both", true, true, []string{"http/1.1"}, []string{"http/1.1"}, "HTTP/1.1", "HTTP/1.1"},
		{"members with HTTP/2", false, true, nil, []string{"h2", "http/1.1"}, "HTTP/1.1", "HTTP/2.0"},
		{"both with HTTP/2", true, true, []string{"h2"}, []string{"h2"}, "HTTP/2.0", "HTTP/2.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer := func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Version", r.Proto)
				body, err := io.ReadAll(r.Body)
				if err == nil {
					_, _ = w.Write(body)
				}
			}
			var m dataplane.Member
			if test.member {
				m = secureMember(t, "a", pair, answer)
			} else {
				m = httpMember(t, "a", answer)
			}
			bench := newHTTPBench(t, m)
			scheme := "http"
			if test.clients {
				scheme = "https"
				bench.config.Listeners[0].TLS = &dataplane.ServerTLS{
					Certificates: []dataplane.Certificate{certificate(t, pair)}, Handshake: dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
				}
			}
			if test.member {
				bench.config.Pools[0].TLS = &dataplane.ClientTLS{Handshake: dataplane.Handshake{ALPN: test.memberALPN}}
			}
			bench.apply()
			client := client(t)
			transport := client.Transport.(*http.Transport)
			transport.TLSClientConfig = &tls.Config{RootCAs: authority.Pool(), ServerName: "site.example", NextProtos: test.alpn}
			transport.ForceAttemptHTTP2 = len(test.alpn) > 0 && test.alpn[0] == "h2"
			for _, size := range []int{0, 10, 50_000, 3 << 20} {
				body := strings.Repeat("0123456789", size/10)
				got, err := client.Post(scheme+"://"+bench.addr()+"/", "text/plain", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				echoed, err := io.ReadAll(got.Body)
				_ = got.Body.Close()
				if err != nil || string(echoed) != body {
					t.Fatalf("%d of %d bytes, %v", len(echoed), len(body), err)
				}
				if got.Proto != test.wantClient || got.Header.Get("Version") != test.wantMember {
					t.Errorf("the client spoke %s, the member %s", got.Proto, got.Header.Get("Version"))
				}
			}
			transport.CloseIdleConnections()
			eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
			if c := bench.counters(); c.Requests != 4 || test.clients && c.Handshakes != 1 {
				t.Errorf("counters: %+v", c)
			}
		})
	}
}

// TestHandshakesFail has clients, and members, with which no handshake can succeed.
func TestHandshakesFail(t *testing.T) {
	authority, other := testpki.NewAuthority(t, "test"), testpki.NewAuthority(t, "other")
	pair := authority.Issue(t, "site.example", testpki.DNS("site.example"))
	t.Run("client", func(t *testing.T) {
		bench := newHTTPBench(t)
		bench.config.Listeners[0].TLS = &dataplane.ServerTLS{Certificates: []dataplane.Certificate{certificate(t, pair)}}
		bench.apply()
		conn := bench.dial()
		_, _ = io.WriteString(conn, get)
		_, _ = io.ReadAll(conn)
		eventually(t, "it is counted", func() bool { return bench.counters().FailedHandshakes == 1 && bench.counters().Active == 0 })
	})
	t.Run("member", func(t *testing.T) {
		bench := newHTTPBench(t,
			secureMember(t, "x", other.Issue(t, "x"), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }),
			secureMember(t, "a", pair, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") }))
		bench.config.Pools[0].TLS = &dataplane.ClientTLS{CAs: [][]byte{authority.Raw}}
		bench.apply()
		for range 4 {
			answer := bench.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			if !strings.HasSuffix(answer, "\r\n\r\na") {
				t.Errorf("%q", answer)
			}
		}
	})
}

// TestRelayToSecureMembers has a TCP listener whose pool speaks TLS.
func TestRelayToSecureMembers(t *testing.T) {
	pair := testpki.NewAuthority(t, "test").Issue(t, "a")
	bench := newBench(t, secureMember(t, "a", pair, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }))
	bench.config.Pools[0].TLS = &dataplane.ClientTLS{}
	bench.apply()
	body := strings.Repeat("0123456789", 200_000)
	conn := bench.dial()
	go func() {
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}()
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(answer.Body)
	if err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	_ = conn.Close()
	eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
}
