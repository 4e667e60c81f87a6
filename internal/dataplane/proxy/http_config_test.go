package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"poise/internal/dataplane"
)

// TestRequestsTakeTheNewestConfiguration on a connection that lives on.
func TestRequestsTakeTheNewestConfiguration(t *testing.T) {
	says := func(name string) dataplane.Member {
		return httpMember(t, name, func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Date"] = nil
			fmt.Fprint(w, name)
		})
	}
	bench := newHTTPBench(t, says("a"))
	conn := bench.dial()
	reader := bufio.NewReader(conn)
	ask := func() string {
		tell(t, conn, get)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		return fmt.Sprint(answer.StatusCode, string(body), answer.Header.Get("Location"))
	}
	if got := ask(); got != "200a" {
		t.Error(got)
	}
	bench.config.Pools[0].Members = []dataplane.Member{says("b")}
	bench.apply()
	if got := ask(); got != "200b" {
		t.Error(got)
	}
	bench.config.Listeners[0].HTTP = &dataplane.Requests{Policies: []dataplane.Policy{{
		ID: "p", Action: dataplane.RedirectPrefix, Location: "https://a", Code: 302,
		Rules: []dataplane.Rule{{Type: "PATH", Compare: "STARTS_WITH", Value: "/"}},
	}}}
	bench.apply()
	if got := ask(); !strings.HasPrefix(got, "302") || !strings.HasSuffix(got, "https://a/") {
		t.Error(got)
	}
}

// TestUnusableConfigurationIsAState has listeners that cannot be served as they are configured.
func TestUnusableConfigurationIsAState(t *testing.T) {
	for name, spoil := range map[string]func(*dataplane.Config){
		"regular expression": func(c *dataplane.Config) {
			c.Listeners[0].HTTP.Policies = []dataplane.Policy{{
				ID: "p", Action: dataplane.Reject, Rules: []dataplane.Rule{{Type: "PATH", Compare: "REGEX", Value: "("}},
			}}
		},
		"certificate": func(c *dataplane.Config) {
			c.Listeners[0].TLS = &dataplane.ServerTLS{Certificates: []dataplane.Certificate{{Chain: [][]byte{{1}}, Key: []byte{2}}}}
		},
		"members' CA": func(c *dataplane.Config) { c.Pools[0].TLS = &dataplane.ClientTLS{CAs: [][]byte{{1}}} },
	} {
		t.Run(name, func(t *testing.T) {
			bench := newHTTPBench(t, httpMember(t, "a", func(http.ResponseWriter, *http.Request) {}))
			spoil(&bench.config)
			state := bench.server.Apply(&bench.config, bench.bind)["listener"]
			if state.Listening || state.Reason == "" || strings.Contains(state.Reason, "panic") {
				t.Errorf("%+v", state)
			}
			if conn, err := net.Dial("tcp", bench.addr()); err == nil {
				_ = conn.Close()
				t.Error("it listens all the same")
			}
			bench.config.Listeners[0].HTTP.Policies, bench.config.Listeners[0].TLS, bench.config.Pools[0].TLS = nil, nil, nil
			bench.apply()
			if got := firstLine(bench.say(get)); got != "HTTP/1.1 200 OK" {
				t.Error(got)
			}
		})
	}
}

// TestCookiePersistence keeps a client with its member by the cookie that it was given.
func TestCookiePersistence(t *testing.T) {
	says := func(name string) dataplane.Member {
		return httpMember(t, name, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, name+r.Header.Get("Cookie")) })
	}
	bench := newHTTPBench(t, says("a"), says("b"))
	bench.config.Pools[0].Persistence = &dataplane.Persistence{Type: dataplane.ByHTTPCookie}
	bench.apply()
	first := bench.say("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if !strings.Contains(first, "Set-Cookie: SRV=a; path=/\r\nCache-Control: private\r\n") {
		t.Errorf("%q", first)
	}
	for range 4 {
		got := bench.say("GET / HTTP/1.1\r\nHost: a\r\nCookie: x=y; SRV=b\r\nConnection: close\r\n\r\n")
		if !strings.HasSuffix(got, "\r\n\r\nbx=y") || strings.Contains(got, "Set-Cookie") {
			t.Errorf("%q", got)
		}
	}
}

// TestProxyProtocol tells members who the client is: on connections that no other client's request uses.
func TestProxyProtocol(t *testing.T) {
	for name, protocol := range map[string]dataplane.Protocol{"HTTP": dataplane.HTTP, "TCP": dataplane.TCP} {
		t.Run(name, func(t *testing.T) {
			bench := newHTTPBench(t, serve(t, "a", func(c *net.TCPConn) {
				reader := bufio.NewReader(c)
				header, err := reader.ReadString('\n')
				for err == nil {
					if _, err = http.ReadRequest(reader); err == nil {
						_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(header), header)
					}
				}
			}))
			bench.config.Listeners[0].Protocol = protocol
			bench.config.Pools[0].Proxy = dataplane.ProxyV1
			bench.apply()
			for range 3 {
				conn := bench.dial()
				from := conn.LocalAddr().(*net.TCPAddr)
				want := fmt.Sprintf("PROXY TCP4 127.0.0.1 %s %d %d\r\n", vip, from.Port, bench.config.Listeners[0].Port)
				for range 2 {
					tell(t, conn, get)
					expect(t, conn, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(want), want))
				}
				_ = conn.Close()
			}
			eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
		})
	}
}
