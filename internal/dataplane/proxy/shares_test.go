package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/testpki"
)

// tenants are two load balancers of one engine: A, who takes what there is, and B, who has a web server.
type tenants struct {
	t           *testing.T
	descriptors int64
	a, b        *bench
}

// newTenants gives A that one member, or none.
func newTenants(t *testing.T, protocol dataplane.Protocol, members ...dataplane.Member) *tenants {
	t.Helper()
	const limit = 1600
	web := httpMember(t, "b", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "b") })
	n := &tenants{t: t, descriptors: limit, a: newBenchOn(t, newDescriptors(limit), members...)}
	n.a.config.Listeners[0].Protocol = protocol
	n.a.apply()
	n.b = n.a.another(web)
	return n
}

// isFull says whether A has got what it can get.
func (n *tenants) isFull() bool {
	return n.a.server.files.Used() >= n.descriptors*15/16-4 || n.a.server.States()["listener"].Trouble != ""
}

// bIsServed has clients of B ask a hundred times, each on a connection of its own, as many at once.
func (n *tenants) bIsServed(atOnce int) {
	n.t.Helper()
	for range 100 / atOnce {
		var conns []net.Conn
		for range atOnce {
			conns = append(conns, n.b.dial())
			tell(n.t, conns[len(conns)-1], get)
		}
		for i, conn := range conns {
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || answer.StatusCode != http.StatusOK {
				n.t.Fatalf("request %d of B, %d at once: %v, %v", i, atOnce, answer, err)
			}
		}
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}

// hold has clients connect to A, who say as much and stay, until A is full.
func (n *tenants) hold(say string, settled func(net.Conn)) {
	n.t.Helper()
	for i := 0; !n.isFull(); i++ {
		if int64(i) > n.descriptors {
			n.t.Fatalf("%d clients, and A has %d descriptors", i, n.a.server.files.Used())
		}
		conn := n.a.dial()
		tell(n.t, conn, say)
		if settled != nil {
			settled(conn)
		}
	}
	for range 4 { // who find no room
		tell(n.t, n.a.dial(), say)
	}
	eventually(n.t, "A is told", func() bool { return n.a.server.States()["listener"].Trouble != "" })
}

// TestSharesOfDescriptors has a tenant take all descriptors that it can get, in several ways: clients of another one are served as if
// it were not there, and it is told.
func TestSharesOfDescriptors(t *testing.T) {
	web := func(t *testing.T) dataplane.Member {
		return httpMember(t, "a", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a") })
	}
	for name, attack := range map[string]func(t *testing.T) *tenants{
		"clients of TCP that stay": func(t *testing.T) *tenants {
			n := newTenants(t, dataplane.TCP, echo(t, "a"))
			n.hold("ping", nil)
			return n
		},
		"clients of HTTP that say nothing": func(t *testing.T) *tenants {
			n := newTenants(t, dataplane.HTTP, web(t))
			n.hold("", nil)
			return n
		},
		"clients of HTTP between two requests": func(t *testing.T) *tenants {
			n := newTenants(t, dataplane.HTTP, web(t))
			n.hold(get, func(c net.Conn) { expectStatus(t, c, http.StatusOK) })
			return n
		},
		"clients of the gateway": func(t *testing.T) *tenants {
			n := newTenants(t, dataplane.HTTP, web(t))
			n.a.config.Pools[0].TLS = &dataplane.ClientTLS{Handshake: dataplane.Handshake{ALPN: []string{"h2"}}}
			n.a.apply()
			n.hold("", nil)
			return n
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := attack(t)
			had := n.a.server.files.Used()
			n.bIsServed(1)
			n.bIsServed(100)
			if now := n.a.server.files.Used(); now >= had {
				t.Errorf("A had %d descriptors, and has %d", had, now)
			}
			if why := n.a.server.States()["listener"].Trouble; !strings.Contains(why, "full share") {
				t.Errorf("A is told %q", why)
			}
			if why := n.b.server.States()["listener"].Trouble; why != "" {
				t.Errorf("B is told %q", why)
			}
		})
	}
}

// TestCircles has members be load balancers themselves, so that one client's connection would go round.
func TestCircles(t *testing.T) {
	for name, protocol := range map[string]dataplane.Protocol{"TCP": dataplane.TCP, "HTTP": dataplane.HTTP} {
		t.Run(name, func(t *testing.T) {
			n := newTenants(t, protocol)
			n.a.config.Pools[0].Members = []dataplane.Member{
				{ID: "itself", Address: netip.AddrPortFrom(vip, n.a.config.Listeners[0].Port), Weight: 1},
			}
			n.a.apply()
			client := n.a.dial()
			tell(t, client, get)
			eventually(t, "A is told", func() bool { return n.a.server.States()["listener"].Trouble != "" })
			if why := n.a.server.States()["listener"].Trouble; !strings.Contains(why, "leads back") {
				t.Errorf("A is told %q", why)
			}
			n.bIsServed(100)
			_ = client.Close()
			eventually(t, "the circle has ended", func() bool { return n.a.server.files.Used() == 0 })
		})
	}
}

// TestCircleThroughGateway is such a circle of requests by HTTP/2, on connections that many of them may share.
func TestCircleThroughGateway(t *testing.T) {
	n := newTenants(t, dataplane.HTTP)
	authority := testpki.NewAuthority(t, "authority")
	n.a.config.Listeners[0].TLS = &dataplane.ServerTLS{
		Certificates: []dataplane.Certificate{certificate(t, authority.Issue(t, "site.example", testpki.DNS("site.example")))},
		Handshake:    dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
	}
	n.a.config.Pools[0].TLS = &dataplane.ClientTLS{Handshake: dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}}}
	n.a.config.Pools[0].Members = []dataplane.Member{
		{ID: "itself", Address: netip.AddrPortFrom(vip, n.a.config.Listeners[0].Port), Weight: 1},
	}
	n.a.apply()
	for _, protocol := range []string{"h2", "http/1.1"} {
		c := client(t)
		transport := c.Transport.(*http.Transport)
		transport.TLSClientConfig = &tls.Config{RootCAs: authority.Pool(), ServerName: "site.example", NextProtos: []string{protocol}}
		transport.ForceAttemptHTTP2 = protocol == "h2"
		for range 10 {
			answer, err := c.Get("https://" + n.a.addr() + "/")
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			if answer.StatusCode < http.StatusInternalServerError {
				t.Errorf("%s: %s", protocol, answer.Status)
			}
		}
		if why := n.a.server.States()["listener"].Trouble; !strings.Contains(why, "leads back") {
			t.Errorf("A is told %q", why)
		}
		if used := n.a.server.files.Used(); used > 40 {
			t.Errorf("the circle takes %d descriptors", used)
		}
		n.bIsServed(100)
	}
}

// TestHiddenCircle has the way back be hidden, as by address translation: the circle takes no more than A may have, and does not
// outlive its client for long.
func TestHiddenCircle(t *testing.T) {
	for name, protocol := range map[string]dataplane.Protocol{"TCP": dataplane.TCP, "HTTP": dataplane.HTTP} {
		t.Run(name, func(t *testing.T) {
			n := newTenants(t, protocol)
			n.a.config.Pools[0].Members = []dataplane.Member{{ID: "hidden", Address: forward(t, n.a.addr()), Weight: 1}}
			n.a.engine.shedAfterMs = 500
			n.a.apply()
			client := n.a.dial()
			tell(t, client, get)
			eventually(t, "A is told", func() bool { return n.a.server.States()["listener"].Trouble != "" })
			n.bIsServed(1)
			n.bIsServed(100)
			_ = client.Close()
			eventually(t, "the circle has ended", func() bool { return n.a.server.files.Used() == 0 })
		})
	}
}

// forward passes each connection on to an address, as a stranger's load balancer would.
func forward(t *testing.T, to string) netip.AddrPort {
	t.Helper()
	return serve(t, "forward", func(c *net.TCPConn) {
		onward, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		defer onward.Close()
		_ = c.SetDeadline(time.Time{})
		go func() { _, _ = io.Copy(onward, c); _ = onward.(*net.TCPConn).CloseWrite() }()
		_, err = io.Copy(c, onward)
		if err != nil {
			_ = c.SetLinger(0)
		}
	}).Address
}
