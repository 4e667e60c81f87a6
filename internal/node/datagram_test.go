package node_test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"poise/internal/dataplane"
	"poise/internal/link"
)

// TestBothKindsOfTraffic has a load balancer serve TCP and UDP on the same port.
func TestBothKindsOfTraffic(t *testing.T) {
	b := start(t)
	member, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		buffer := make([]byte, 10)
		n, from, _ := member.ReadFromUDPAddrPort(buffer)
		_, _ = member.WriteToUDPAddrPort(buffer[:n], from)
	}()
	t.Cleanup(func() { _ = member.Close(); <-answered })
	port := freePort(t)
	pool := func(id string, at netip.AddrPort) dataplane.Pool {
		return dataplane.Pool{ID: id, Members: []dataplane.Member{{ID: id, Address: at, Weight: 1}}}
	}
	b.apply(t, link.Assignment{Generation: 1, Config: dataplane.Config{
		Listeners: []dataplane.Listener{
			{ID: "streams", Protocol: dataplane.TCP, Port: port, PoolID: "tcp"},
			{ID: "datagrams", Protocol: dataplane.UDP, Port: port, PoolID: "udp"},
		},
		Pools: []dataplane.Pool{
			pool("tcp", greeter(t)), pool("udp", member.LocalAddr().(*net.UDPAddr).AddrPort()),
		},
	}})
	if report, _ := b.notes.read(); !report.Listeners["streams"].Listening || !report.Listeners["datagrams"].Listening {
		t.Errorf("%+v", report.Listeners)
	}
	if err := ask(port); err != nil {
		t.Errorf("TCP: %v", err)
	}
	client, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(port)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_ = client.SetDeadline(time.Now().Add(patience))
	_, _ = client.Write([]byte("hello"))
	buffer := make([]byte, 10)
	if n, err := client.Read(buffer); err != nil || string(buffer[:n]) != "hello" {
		t.Errorf("UDP: %q, %v", buffer[:n], err)
	}
	counters, members := b.Counters("lb"), b.Members("lb")
	if counters["streams"].Total != 1 || counters["datagrams"].Total != 1 {
		t.Errorf("%+v", counters)
	}
	if m := members[dataplane.MemberKey{ListenerID: "datagrams", PoolID: "udp", MemberID: "udp"}]; m.BytesIn != 5 || m.BytesOut != 5 {
		t.Errorf("%+v", m)
	}
	if b.FollowLog(t.Context(), "lb", "datagrams") == nil {
		t.Error("there is no log of the UDP listener")
	}
}
