package proxy

import (
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"poise/internal/dataplane"
)

func TestPicksMembers(t *testing.T) {
	a, b, c := named(t, "a"), named(t, "b"), named(t, "c")
	drained, backup, disabled := c, c, c
	drained.Weight, backup.Backup, disabled.Disabled = 0, true, true
	heavy := b
	heavy.Weight = 3
	for _, test := range []struct {
		name    string
		members []dataplane.Member
		down    string
		want    string
	}{
		{"alternation", []dataplane.Member{a, b}, "", "abababab"},
		{"weights", []dataplane.Member{a, heavy}, "", "babbbabb"},
		{"drain", []dataplane.Member{a, b, drained}, "", "abababab"},
		{"backup rests", []dataplane.Member{a, backup}, "", "aaaaaaaa"},
		{"backup takes over", []dataplane.Member{a, b, backup}, "ab", "cccccccc"},
		{"disabled", []dataplane.Member{a, disabled}, "", "aaaaaaaa"},
		{"one down", []dataplane.Member{a, b}, "a", "bbbbbbbb"},
		{"all down: closed", []dataplane.Member{a, b}, "ab", ""},
		{"no members: closed", nil, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			bench := newBench(t)
			bench.config.Pools[0].Members = test.members
			bench.config.Pools[0].Monitor = &dataplane.Monitor{}
			bench.apply()
			for _, id := range test.down {
				bench.server.SetHealth(dataplane.Health{PoolID: "pool", MemberID: string(id), State: dataplane.HealthDown})
			}
			if diff := cmp.Diff(test.want, bench.sequence(8)); diff != "" {
				t.Error(diff)
			}
			eventually(t, "all connections end", func() bool { return bench.counters().Active == 0 })
			want := dataplane.Counters{Total: 8, BytesOut: uint64(len(test.want))}
			if test.want == "" {
				want.Errors = 8
			}
			if diff := cmp.Diff(want, bench.counters()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFailoverIsInvisible(t *testing.T) {
	bench := newBench(t, refusing(t, "x"), named(t, "a"), refusing(t, "y"), named(t, "b"))
	if got := bench.sequence(40); strings.Count(got, "a") != 20 || strings.Count(got, "b") != 20 {
		t.Errorf("answers: %s", got)
	}
}

func TestAlternationReturnsWithTheMember(t *testing.T) {
	const addr = "127.0.20.2"
	m, stop := serveOn(t, "a", addr+":0", func(c *net.TCPConn) { sayName(c, "a") })
	bench := newBench(t, m, named(t, "b"))
	if got := bench.sequence(4); got != "abab" {
		t.Errorf("both up: %s", got)
	}
	stop()
	if got := bench.sequence(4); got != "bbbb" {
		t.Errorf("a stopped: %s", got)
	}
	_, stop = serveOn(t, "a", m.Address.String(), func(c *net.TCPConn) { sayName(c, "a") })
	defer stop()
	if got := bench.sequence(4); got != "abab" {
		t.Errorf("a is back: %s", got)
	}
}

// TestSilentMember connects to a member whose backlog is full, so that its kernel drops the SYN.
func TestSilentMember(t *testing.T) {
	bench := newBench(t, silentMember(t, "x"), named(t, "a"))
	bench.config.Listeners[0].ConnectTimeout = time.Second
	bench.config.Pools[0].Algorithm = dataplane.LeastConnections // the silent one has fewest
	bench.apply()
	start := time.Now()
	if got := bench.sequence(10); got != "aaaaaaaaaa" {
		t.Errorf("got %s", got)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the silent member was waited for again and again: %v", took)
	}
}

func TestAllRefuse(t *testing.T) {
	bench := newBench(t, refusing(t, "x"), refusing(t, "y"))
	if got := bench.who(); got != "" {
		t.Errorf("got %s", got)
	}
	if n := bench.counters().Errors; n != 1 {
		t.Errorf("%d errors, want 1", n)
	}
}

func TestHealthBeforeItsConfig(t *testing.T) {
	bench := newBench(t)
	bench.server.SetHealth(dataplane.Health{PoolID: "pool", MemberID: "a", State: dataplane.HealthDown})
	bench.config.Pools[0].Monitor = &dataplane.Monitor{}
	bench.config.Pools[0].Members = []dataplane.Member{named(t, "a"), named(t, "b")}
	bench.apply()
	if got := bench.sequence(2); got != "bb" {
		t.Errorf("got %s", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	bench := newBench(t, echo(t, "a"))
	bench.config.Listeners[0].ConnectionLimit = 2
	bench.apply()
	first, second := bench.dial(), bench.dial()
	roundTrip(t, first)
	roundTrip(t, second)
	third := bench.dial() // waits in the backlog
	eventually(t, "full", func() bool { return bench.server.States()["listener"].Full })
	_ = third.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, _ = third.Write([]byte("ping"))
	if n, err := third.Read(make([]byte, 4)); !os.IsTimeout(err) {
		t.Errorf("a third connection was served: %d bytes, %v", n, err)
	}
	_ = first.Close()
	_ = third.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(third, make([]byte, 4)); err != nil {
		t.Errorf("the third connection does not follow the first: %v", err)
	}
	fourth := bench.dial()
	bench.config.Listeners[0].ConnectionLimit = 3
	bench.apply()
	roundTrip(t, fourth)
	if n := bench.counters().Active; n != 3 {
		t.Errorf("%d active", n)
	}
}

func roundTrip(t *testing.T, c *net.TCPConn) {
	t.Helper()
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4)
	if _, err := io.ReadFull(c, answer); err != nil || string(answer) != "ping" {
		t.Fatalf("answer %q, %v", answer, err)
	}
}

func TestAllowedCIDRs(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	bench.config.Listeners[0].AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.10.0/24")}
	bench.apply()
	for source, want := range map[string]string{"127.0.10.9": "a", "127.0.11.9": ""} {
		got := whoFrom(source, bench.addr())
		if got != want {
			t.Errorf("from %s: %q, want %q", source, got, want)
		}
	}
	if n := bench.counters().Total; n != 1 {
		t.Errorf("total is %d, want 1", n)
	}
}

// whoFrom is the answer to a client of that address; "" when it gets none.
func whoFrom(source, addr string) string {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: patience}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		return "" // the reset came before connect(2) had returned
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn)
	return string(answer)
}

func TestIPv6(t *testing.T) {
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	_ = l.Close()
	m, stop := serveOn(t, "six", "[::1]:0", func(c *net.TCPConn) { sayName(c, "six") })
	defer stop()
	bench := newBench(t, m)
	bench.config.Listeners[0].Port = port
	bench.bind = append(bench.bind, netip.IPv6Loopback())
	bench.apply()
	conn := dial(t, netip.AddrPortFrom(netip.IPv6Loopback(), port).String())
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "six" {
		t.Errorf("%q, %v", got, err)
	}
	if got := bench.who(); got != "six" {
		t.Errorf("IPv4 client: %q", got)
	}
}

func TestApplyKeepsSocketsAndConnections(t *testing.T) {
	bench := newBench(t, echo(t, "a"))
	held := bench.dial()
	roundTrip(t, held)
	before := bench.server.listeners["listener"].sockets
	fd := before[netip.MustParseAddrPort(bench.addr())].fd

	bench.config.Pools[0].Members = []dataplane.Member{named(t, "b")}
	bench.apply()
	if got := bench.server.listeners["listener"].sockets[netip.MustParseAddrPort(bench.addr())].fd; got != fd {
		t.Error("the listening socket was opened again")
	}
	if got := bench.who(); got != "b" {
		t.Errorf("a new connection reaches %q", got)
	}
	roundTrip(t, held)

	bench.config.Listeners = nil
	bench.apply()
	roundTrip(t, held)
	if n := bench.counters().Active; n != 1 {
		t.Errorf("%d active at a removed listener", n)
	}
}

func TestRemovedListenerRefuses(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	addr := bench.addr()
	old := bench.config.Listeners
	bench.config.Listeners = nil
	bench.apply()
	if conn, err := net.DialTimeout("tcp", addr, patience); err == nil {
		_ = conn.Close()
		t.Error("still accepts")
	}
	bench.config.Listeners = old
	bench.apply()
	if got := bench.who(); got != "a" {
		t.Errorf("after its return: %q", got)
	}
}

func TestListenersSwapPorts(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	first := bench.config.Listeners[0]
	second := first
	second.ID, second.Port, second.PoolID = "second", freePort(t), "second"
	bench.config.Listeners = append(bench.config.Listeners, second)
	bench.config.Pools = append(bench.config.Pools, dataplane.Pool{ID: "second", Members: []dataplane.Member{named(t, "b")}})
	bench.apply()
	if got := bench.who(); got != "a" {
		t.Errorf("before: %q", got)
	}
	l := bench.config.Listeners
	l[0].Port, l[1].Port = l[1].Port, l[0].Port
	bench.apply()
	if got := bench.who(); got != "a" {
		t.Errorf("the first listener on the second port: %q", got)
	}
	l[0].Port, l[1].Port = l[1].Port, l[0].Port
	bench.config.Listeners = []dataplane.Listener{l[1]}
	l[1].Port = first.Port
	bench.apply()
	if got := bench.who(); got != "b" {
		t.Errorf("the second listener on the freed port: %q", got)
	}
}

func TestBindFailureIsAState(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	taken, err := net.Listen("tcp", netip.AddrPortFrom(vip, 0).String())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	bench.config.Listeners[0].Port = uint16(taken.Addr().(*net.TCPAddr).Port)
	state := bench.server.Apply(&bench.config, bench.bind)["listener"]
	want := dataplane.ListenerState{Reason: "cannot listen on " + bench.addr() + ": address already in use"}
	if diff := cmp.Diff(want, state); diff != "" {
		t.Error(diff)
	}
	_ = taken.Close()
	bench.apply() // the next attempt
	if got := bench.who(); got != "a" {
		t.Errorf("got %q", got)
	}
}
