package datagram

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
)

func TestEachClientHasOneMember(t *testing.T) {
	a, _ := echo(t, "a")
	c, _ := echo(t, "c")
	b := newBench(t, a, c)
	var clients []client
	var first []string
	for range 6 {
		clients = append(clients, b.client())
		first = append(first, clients[len(clients)-1].who())
	}
	if diff := cmp.Diff([]string{"a", "c", "a", "c", "a", "c"}, first); diff != "" {
		t.Error(diff)
	}
	for i, c := range clients {
		for range 3 {
			if got := c.who(); got != first[i] {
				t.Errorf("client %d went from %s to %s", i, first[i], got)
			}
		}
	}
	want := dataplane.Counters{Active: 6, Total: 6, BytesIn: 24, BytesOut: 72}
	if diff := cmp.Diff(want, b.counters()); diff != "" {
		t.Error(diff)
	}
	got := b.server.MemberCounters()[dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: "a"}]
	if diff := cmp.Diff(dataplane.MemberCounters{Active: 3, Total: 3, BytesIn: 12, BytesOut: 36}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDatagramsOfAnySize(t *testing.T) {
	for _, address := range []string{"127.0.10.1", "::1"} {
		t.Run(address, func(t *testing.T) {
			conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(address)})
			if err != nil {
				t.Fatal(err)
			}
			serveEcho(t, conn, "")
			b := newBenchOn(t, netip.MustParseAddr(address), 5000, member("a", conn.LocalAddr().String()))
			c := b.client()
			for _, size := range []int{1, 1472, 1473, 9000, 65_507} {
				message := strings.Repeat("x", size-1) + "."
				if got := c.ask(message, patience); got != message {
					t.Errorf("%d bytes come back as %d", size, len(got))
				}
			}
			if _, err := c.Write(nil); err != nil {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(patience))
			if n, err := c.Read(make([]byte, 1)); n != 0 || err != nil {
				t.Errorf("an empty datagram: %d bytes, %v", n, err)
			}
		})
	}
}

// Clients of one version of IP get to members of the other.
func TestIPv6ToIPv4(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBenchOn(t, netip.MustParseAddr("::1"), 5000, a)
	if got := b.client().who(); got != "a" {
		t.Errorf("answered by %q", got)
	}
}

func TestManyAtOnceAreSentInOrder(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	c := b.client()
	const n = 5 * batchSize / 2
	for i := range n {
		if _, err := c.Write([]byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := c.hear(patience); got != "a:"+string([]byte{byte(i)}) {
			t.Fatalf("datagram %d came back as %q", i, got)
		}
	}
}

func TestSourceIPPersistence(t *testing.T) {
	a, _ := echo(t, "a")
	c, _ := echo(t, "c")
	b := newBench(t, a, c)
	b.config.Pools[0].Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP}
	b.apply()
	for ip, want := range map[string]int{"127.0.40.1": 1, "127.0.40.2": 1} {
		var names []string
		for range 4 {
			names = append(names, b.clientFrom(ip).who())
		}
		if got := len(slices.Compact(names)); got != want {
			t.Errorf("%s went to %v", ip, names)
		}
	}
}

// A client that is not silent is not forgotten, however long ago its flow began.
func TestPersistenceOfALongFlow(t *testing.T) {
	a, _ := echo(t, "a")
	c, _ := echo(t, "c")
	b := newBench(t, a, c)
	const timeout = 300 * time.Millisecond
	b.config.Pools[0].Persistence = &dataplane.Persistence{Type: dataplane.BySourceIP, Timeout: timeout}
	b.apply()
	long := b.client()
	name := long.who()
	for begun := time.Now(); time.Since(begun) < 2*timeout; {
		long.who()
	}
	if got := b.client().who(); got != name {
		t.Errorf("another flow of the client is answered by %s, not %s", got, name)
	}
}

func TestFailover(t *testing.T) {
	a, stop := echo(t, "a")
	c, _ := echo(t, "c")
	for _, test := range []struct {
		name    string
		members []dataplane.Member
		before  func(client)
	}{
		{"a member that was never there", []dataplane.Member{refusing(t, "r"), c}, func(client) {}},
		{"a member that goes", []dataplane.Member{a, c}, func(cl client) {
			if got := cl.who(); got != "a" {
				t.Errorf("first answer by %q", got)
			}
			stop()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, test.members...)
			client := b.client()
			test.before(client)
			if got := client.persist(); got != "c" {
				t.Errorf("answered by %q", got)
			}
			key := dataplane.MemberKey{ListenerID: "listener", PoolID: "pool", MemberID: test.members[0].ID}
			if n := b.server.MemberCounters()[key].ConnectErrors; n == 0 {
				t.Error("the refusal was not counted")
			}
			if got := b.client().persist(); got != "c" {
				t.Errorf("the next client is answered by %q", got)
			}
		})
	}
}

// A member that is alone and refuses is tried again.
func TestMemberComesBack(t *testing.T) {
	m := refusing(t, "r")
	b := newBench(t, m)
	c := b.client()
	if got := c.ask("?", glance); got != "" {
		t.Errorf("answered: %q", got)
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(m.Address))
	if err != nil {
		t.Fatal(err)
	}
	serveEcho(t, conn, "r:")
	if got := c.persist(); got != "r" {
		t.Errorf("answered by %q", got)
	}
}

func TestAllowedCIDRs(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	b.config.Listeners[0].AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.40.0/24")}
	b.apply()
	stranger := b.clientFrom("127.0.41.1")
	if got := stranger.ask("?", glance); got != "" {
		t.Errorf("a stranger is answered: %q", got)
	}
	friend := b.clientFrom("127.0.40.1")
	if got := friend.who(); got != "a" {
		t.Errorf("answered by %q", got)
	}
	if c := b.counters(); c.Total != 1 {
		t.Errorf("%d flows", c.Total)
	}
	b.config.Listeners[0].AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.41.0/24")}
	b.apply()
	if got := friend.ask("?", glance); got != "" {
		t.Errorf("who is not allowed any more is answered: %q", got)
	}
	if got := stranger.who(); got != "a" {
		t.Errorf("answered by %q", got)
	}
}

func TestConnectionLimit(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	b.config.Listeners[0].ConnectionLimit = 2
	b.apply()
	var clients []client
	for range 3 {
		clients = append(clients, b.client())
		clients[len(clients)-1].who()
	}
	if c := b.counters(); c.Active != 2 || c.Total != 3 {
		t.Errorf("%d of %d flows are open", c.Active, c.Total)
	}
	if !b.server.States()["listener"].Full {
		t.Error("the listener is not said to be full")
	}
	for _, c := range clients { // the first has lost its flow, and gets another
		if got := c.who(); got != "a" {
			t.Errorf("answered by %q", got)
		}
	}
}

func TestDescriptorsAreBounded(t *testing.T) {
	a, _ := echo(t, "a")
	for _, test := range []struct {
		name           string
		flows, process int64
	}{
		{"the share of flows", 3, 1000},
		{"the process's", 1000, portDescriptors + 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBenchWith(t, newDescriptors(test.process), vip, test.flows, a)
			for range 10 {
				if got := b.client().who(); got != "a" {
					t.Errorf("answered by %q", got)
				}
			}
			if c := b.counters(); c.Active != 3 || c.Total != 10 {
				t.Errorf("%d of %d flows are open", c.Active, c.Total)
			}
		})
	}
}

// A listener that is flooded takes no room from others of its loop.
func TestFloodTakesNothingFromOthers(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBenchOn(t, vip, 10, a)
	for _, id := range []string{"on the other loop", "flooded"} {
		b.config.Listeners = append(b.config.Listeners, dataplane.Listener{
			ID: id, Protocol: dataplane.UDP, Port: freePort(t, vip), PoolID: "pool",
		})
		b.apply()
	}
	quiet := []client{b.client(), b.client(), b.client()}
	for _, c := range quiet {
		c.who()
	}
	b.config.Listeners[0], b.config.Listeners[2] = b.config.Listeners[2], b.config.Listeners[0]
	for range 50 {
		b.client().who()
	}
	if c := b.counters(); c.Active != 3 || c.Total != 3 {
		t.Errorf("of the quiet listener: %+v", c)
	}
	if c := b.server.Counters()["flooded"]; c.Active != 7 || c.Total != 50 {
		t.Errorf("of the flooded one: %+v", c)
	}
	for _, c := range quiet {
		if got := c.who(); got != "a" {
			t.Errorf("answered by %q", got)
		}
	}
}

func TestFlowsUnderChange(t *testing.T) {
	a, _ := echo(t, "a")
	c, _ := echo(t, "c")
	health := func(state dataplane.HealthState) func(*bench) {
		return func(b *bench) { b.server.SetHealth(dataplane.Health{PoolID: "pool", MemberID: "a", State: state}) }
	}
	edit := func(change func(*dataplane.Config)) func(*bench) {
		return func(b *bench) { change(&b.config); b.apply() }
	}
	members := func(change func([]dataplane.Member)) func(*bench) {
		return edit(func(cfg *dataplane.Config) { change(cfg.Pools[0].Members) })
	}
	for _, test := range []struct {
		name   string
		change func(*bench)
		want   string // who answers then
	}{
		{"nothing", func(b *bench) { b.apply() }, "a"},
		{"a weight of 0 keeps who is there", members(func(m []dataplane.Member) { m[0].Weight = 0 }), "a"},
		{"disabled", members(func(m []dataplane.Member) { m[0].Disabled = true }), "c"},
		{"another address", members(func(m []dataplane.Member) { m[0].Address = m[1].Address }), "c"},
		{"removed", edit(func(cfg *dataplane.Config) { cfg.Pools[0].Members = cfg.Pools[0].Members[1:] }), "c"},
		{"down", health(dataplane.HealthDown), "c"},
		{"up", health(dataplane.HealthUp), "a"},
		{"another pool", edit(func(cfg *dataplane.Config) {
			cfg.Pools = append(cfg.Pools, dataplane.Pool{ID: "other", Members: cfg.Pools[0].Members[1:]})
			cfg.Listeners[0].PoolID = "other"
		}), "c"},
		{"no pool", edit(func(cfg *dataplane.Config) { cfg.Listeners[0].PoolID = "" }), ""},
		{"no members", edit(func(cfg *dataplane.Config) { cfg.Pools[0].Members = nil }), ""},
		{"not there, and there again", func(b *bench) {
			b.server.Apply(&dataplane.Config{}, b.bind)
			b.apply()
		}, "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, a, c)
			b.config.Pools[0].Monitor = &dataplane.Monitor{}
			b.apply()
			client := b.client()
			if got := client.who(); got != "a" {
				t.Fatalf("first answer by %q", got)
			}
			test.change(b)
			b.settled()
			patience := patience
			if test.want == "" {
				patience = glance
			}
			if got, _, _ := strings.Cut(client.ask("?", patience), ":"); got != test.want {
				t.Errorf("answered by %q, want %q", got, test.want)
			}
		})
	}
}

func TestOnlyUDPIsServed(t *testing.T) {
	b := newBench(t)
	b.config.Listeners = append(b.config.Listeners, dataplane.Listener{ID: "other", Protocol: dataplane.TCP})
	b.apply()
	if states := b.server.States(); len(states) != 1 || !states["listener"].Listening {
		t.Errorf("%+v", states)
	}
}

func TestSilenceEndsAFlow(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	follower := b.server.Log("listener").Follow(ctx)
	c := b.client()
	c.who()
	b.hush(10 * time.Millisecond)
	eventually(t, "the flow ends", func() bool { return b.counters().Active == 0 })
	got := <-follower.Records
	want := accesslog.Record{
		ListenerID: "listener", Client: c.LocalAddr().String(), PoolID: "pool", MemberID: "a",
		BytesIn: 1, BytesOut: 3, End: accesslog.Silence,
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(accesslog.Record{}, "Time", "TotalMs")); diff != "" || got.TotalMs <= 0 {
		t.Errorf("after %v ms: %s", got.TotalMs, diff)
	}
	b.hush(silence)
	if got := c.who(); got != "a" {
		t.Errorf("answered by %q", got)
	}
}

func TestPortIsTaken(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	other, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(vip, 0)))
	if err != nil {
		t.Fatal(err)
	}
	b.config.Listeners[0].Port = uint16(other.LocalAddr().(*net.UDPAddr).Port)
	state := b.server.Apply(&b.config, b.bind)["listener"]
	if want := "cannot listen on " + other.LocalAddr().String() + ": address already in use"; state.Reason != want || state.Listening {
		t.Errorf("%+v, want %q", state, want)
	}
	_ = other.Close()
	b.apply()
	if got := b.client().who(); got != "a" {
		t.Errorf("answered by %q", got)
	}
	twice := New(hostNet{}, b.server.log, b.engine, b.files.NewAccount())
	defer twice.Close()
	if twice.Apply(&b.config, b.bind)["listener"].Listening {
		t.Error("two listeners share a port")
	}
}

// A listener gets its port even where a flow happens to have it for its socket.
func TestPortOfAFlow(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBenchOn(t, netip.MustParseAddr("127.0.20.1"), 5000, a) // the address from which members are spoken to
	c := b.client()
	c.who()
	var taken uint16
	b.settled()
	for _, l := range b.engine.loops {
		l.do(func() {
			for fd := range l.flows {
				taken = localPort(t, int(fd))
			}
		})
	}
	b.config.Listeners = append(b.config.Listeners, dataplane.Listener{ID: "second", Protocol: dataplane.UDP, Port: taken, PoolID: "pool"})
	b.apply()
	if got := c.who(); got != "a" {
		t.Errorf("the flow is answered by %q", got)
	}
	b.config.Listeners = slices.Clone(b.config.Listeners[1:])
	b.apply()
	if got := b.client().who(); got != "a" {
		t.Errorf("the second listener is answered by %q", got)
	}
}

func TestCountersOutliveTheListener(t *testing.T) {
	a, _ := echo(t, "a")
	b := newBench(t, a)
	b.client().who()
	b.server.Apply(&dataplane.Config{}, b.bind)
	if c := b.counters(); c.Total != 1 || c.Active != 0 {
		t.Errorf("%+v", c)
	}
	b.apply()
	b.client().who()
	if c := b.counters(); c.Total != 2 {
		t.Errorf("%+v", c)
	}
}
