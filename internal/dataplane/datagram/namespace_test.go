package datagram

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

const sitePort = 5353

// site is a load balancer, members and clients, each in a namespace of its own, with addresses of both versions of IP.
type site struct {
	t      *testing.T
	fabric *linux.Fabric
	server *Server
	bind   []netip.Addr
	client dataplane.Net
}

// Who is there: the last byte of the addresses. The quiet member has a host, on which nobody listens.
const (
	balancerAt = iota + 1
	clientAt
	memberAt
	otherAt
	quietAt
)

func newSite(t *testing.T) *site {
	t.Helper()
	if err := linux.Available(); err != nil {
		t.Skip(err)
	}
	networks, err := linux.New(t.Context(), linux.Config{Tag: "50c"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = networks.Close() })
	err = networks.Apply(t.Context(), fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1500}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, fabric: networks}
	s.client = s.plug(clientAt)
	s.plug(quietAt)
	for _, at := range []byte{memberAt, otherAt} {
		network := s.plug(at)
		for _, ip := range addresses(at) {
			serveEcho(t, s.socket(network, netip.AddrPortFrom(ip, sitePort), netip.AddrPort{}), "")
		}
	}
	endpoint, err := networks.Plug(t.Context(), "balancer", []fabric.Port{port4and6(balancerAt)})
	if err != nil {
		t.Fatal(err)
	}
	files := newDescriptors(10_000)
	s.server = New(endpoint.Net, slog.New(slog.DiscardHandler), newEngine(t, 5000, files), files.NewAccount())
	t.Cleanup(s.server.Close)
	s.bind = endpoint.Bind
	return s
}

func (s *site) plug(at byte) dataplane.Net {
	s.t.Helper()
	server, err := s.fabric.PlugServer(s.t.Context(), fmt.Sprint("at-", at), []fabric.Port{port4and6(at)})
	if err != nil {
		s.t.Fatal(err)
	}
	return server.Net
}

// addresses are those of one place.
func addresses(at byte) []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{10, 8, 2, at}), netip.AddrFrom16([16]byte{0: 0xfd, 3: 9, 15: at}),
	}
}

func port4and6(at byte) fabric.Port {
	both := addresses(at)
	return fabric.Port{
		ID: fmt.Sprint("port-", at), NetworkID: "net", MTU: 1500, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 2, at},
		Addresses: []netip.Prefix{netip.PrefixFrom(both[0], 24), netip.PrefixFrom(both[1], 64)},
	}
}

// socket is one in a namespace, bound or connected.
func (s *site) socket(network dataplane.Net, local, remote netip.AddrPort) *net.UDPConn {
	s.t.Helper()
	if !local.IsValid() {
		local = netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
		if remote.Addr().Is6() {
			local = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	fd, err := listen(network, local)
	if err == nil && remote.IsValid() {
		err = unix.Connect(fd, sockaddr(remote))
	}
	if err != nil {
		s.t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "socket")
	defer file.Close()
	conn, err := net.FilePacketConn(file)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.UDPConn)
}

// serve applies a configuration with members at those places, of one version of IP.
func (s *site) serve(version int, at ...byte) {
	s.t.Helper()
	var members []dataplane.Member
	for _, at := range at {
		members = append(members, member(fmt.Sprint(at), netip.AddrPortFrom(addresses(at)[version], sitePort).String()))
	}
	states := s.server.Apply(&dataplane.Config{
		Listeners: []dataplane.Listener{{ID: "listener", Protocol: dataplane.UDP, Port: sitePort, PoolID: "pool"}},
		Pools:     []dataplane.Pool{{ID: "pool", Algorithm: dataplane.RoundRobin, Members: members}},
	}, s.bind)
	if state := states["listener"]; !state.Listening {
		s.t.Fatal(state.Reason)
	}
}

func (s *site) dial(version int) *net.UDPConn {
	return s.socket(s.client, netip.AddrPort{}, netip.AddrPortFrom(addresses(balancerAt)[version], sitePort))
}

// TestHundredThousand has clients exchange 100,000 datagrams, some of them in fragments, through a load balancer whose
// configuration is applied again and again, and none may be lost.
func TestHundredThousand(t *testing.T) {
	total := 100_000
	if testing.Short() {
		total = 10_000
	}
	s := newSite(t)
	for version := range 2 {
		s.serve(version, memberAt, otherAt)
		const clients = 10
		var wg sync.WaitGroup
		for range clients {
			conn := s.dial(version)
			wg.Go(func() { exchange(t, conn, total/2/clients) })
		}
		over := make(chan struct{})
		var changes sync.WaitGroup
		changes.Go(func() {
			for {
				select {
				case <-over:
					return
				case <-time.After(time.Millisecond):
					s.serve(version, memberAt, otherAt)
				}
			}
		})
		wg.Wait()
		close(over)
		changes.Wait()
		if c := s.server.Counters()["listener"]; c.Total != uint64(clients*(version+1)) {
			t.Errorf("%d flows for %d clients", c.Total, clients*(version+1))
		}
	}
}

// exchange sends datagrams, a few at a time, and waits for each to come back.
func exchange(t *testing.T, conn *net.UDPConn, n int) {
	const window = 16
	message, answer := make([]byte, 2000), make([]byte, 2000)
	_ = conn.SetDeadline(time.Now().Add(6 * patience))
	for sent := 0; sent < n; {
		burst := min(window, n-sent)
		for i := range burst {
			if _, err := conn.Write(message[:size(sent+i)]); err != nil {
				t.Errorf("datagram %d: %v", sent+i, err)
				return
			}
		}
		for i := range burst {
			if got, err := conn.Read(answer); err != nil || got != size(sent+i) {
				t.Errorf("datagram %d: %d bytes, %v", sent+i, got, err)
				return
			}
		}
		sent += burst
	}
}

func size(i int) int {
	if i%50 == 0 {
		return 2000
	}
	return 1 + i%1400
}

// TestUnreachableMembers has clients of both versions of IP served although most members do not exist.
func TestUnreachableMembers(t *testing.T) {
	s := newSite(t)
	for version := range 2 {
		s.serve(version, quietAt, memberAt)
		for range 4 {
			conn := s.dial(version)
			answered := func() bool {
				_, writeErr := conn.Write([]byte("?"))
				_ = conn.SetReadDeadline(time.Now().Add(glance))
				_, readErr := conn.Read(make([]byte, 1))
				return errors.Join(writeErr, readErr) == nil
			}
			eventually(t, "an answer", answered)
		}
	}
}
