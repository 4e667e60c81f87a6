package datagram

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"poise/internal/dataplane"
)

// TestCircle has a listener be its own member: a datagram would go round for ever.
func TestCircle(t *testing.T) {
	b := newBench(t)
	b.config.Pools[0].Members = []dataplane.Member{
		{ID: "itself", Address: netip.AddrPortFrom(vip, b.config.Listeners[0].Port), Weight: 1},
	}
	b.apply()
	c := b.client()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the circle is found", func() bool {
		return strings.Contains(b.server.States()["listener"].Trouble, "leads back")
	})
	if n := b.counters().Total; n > 8 {
		t.Errorf("one datagram has made %d flows", n)
	}
}

// TestSharesOfDescriptors has one load balancer's flows take all descriptors that they can get, and another one come.
func TestSharesOfDescriptors(t *testing.T) {
	member, _ := echo(t, "a")
	files := newDescriptors(320)
	a := newBenchWith(t, files, vip, 1000, member)
	for a.server.files.Used() < 320*15/16-4 {
		a.client().who()
	}
	b := &bench{t: t, bind: a.bind, files: files, engine: a.engine, config: a.config}
	b.config.Listeners = []dataplane.Listener{{ID: "listener", Protocol: dataplane.UDP, Port: freePort(t, vip), PoolID: "pool"}}
	b.server = New(hostNet{}, slog.New(slog.DiscardHandler), b.engine, files.NewAccount())
	t.Cleanup(b.server.Close)
	b.apply()
	for range 100 {
		if got := b.client().who(); got != "a" {
			t.Fatalf("a client of B is answered by %q", got)
		}
	}
	if n := b.server.files.Used(); n < 50 {
		t.Errorf("B has flows for %d of 100 clients", n)
	}
}
