package datagram

import (
	"net"
	"net/netip"
	"testing"

	"poise/internal/dataplane"
)

// TestFloodOfClients has very many clients send one datagram each: flows and their descriptors stay within the listener's limit, and flows that
// go on stay what they are: the member sees each come from the same port all the time.
func TestFloodOfClients(t *testing.T) {
	const limit, flood, established = 1000, 5000, 10
	b := newBench(t, witness(t))
	b.config.Listeners[0].ConnectionLimit = limit
	b.apply()
	var steady []client
	var before []string
	for range established {
		c := b.client()
		steady, before = append(steady, c), append(before, c.ask("?", patience))
	}
	for sent := 0; sent < flood; {
		for range limit / 4 { // fewer than push out who says something between, and more than one millisecond takes
			b.sendOnce()
			sent++
		}
		for i, c := range steady {
			if got := c.ask("?", patience); got == "" || got != before[i] {
				t.Fatalf("flow %d came from %q, now from %q", i, before[i], got)
			}
		}
		if c := b.counters(); c.Active > limit || b.files.Used() > limit+portDescriptors {
			t.Fatalf("%d flows with %d descriptors", c.Active, b.files.Used())
		}
	}
	if total := b.counters().Total; total < 2*limit { // the kernel drops some of a flood
		t.Errorf("a flood of %d flows", total)
	}
}

// witness is a member that answers whom it sees.
func witness(t *testing.T) (m dataplane.Member) {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.20.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for buffer := make([]byte, maxDatagram); ; {
			_, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort([]byte(from.String()), from)
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	return member("a", conn.LocalAddr().String())
}

// sendOnce is a client of whom nobody hears again.
func (b *bench) sendOnce() {
	b.t.Helper()
	conn, err := net.DialUDP("udp", nil, b.addr())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("flood")); err != nil {
		b.t.Fatal(err)
	}
}
