package probe

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

// TestPing pings servers in namespaces of their own from a load balancer's.
func TestPing(t *testing.T) {
	if err := linux.Available(); err != nil {
		t.Skip(err)
	}
	networks, err := linux.New(t.Context(), linux.Config{Tag: "50b"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = networks.Close() })
	err = networks.Apply(t.Context(), fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1500}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := networks.PlugServer(t.Context(), "server", []fabric.Port{port(2)}); err != nil {
		t.Fatal(err)
	}
	balancer, err := networks.Plug(t.Context(), "balancer", []fabric.Port{port(1)})
	if err != nil {
		t.Fatal(err)
	}
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorPing, Timeout: time.Second}}
	for _, test := range []struct{ at, want string }{
		{"10.8.1.2:80", ""},
		{"[fd00:8::2]:80", ""},
		{"10.8.1.1:80", ""},
		{"10.8.1.3:80", "nobody has the address 10.8.1.3"},
		{"[fd00:8::3]:80", "nobody has the address fd00:8::3"},
		{"192.0.2.1:80", "no route to 192.0.2.1"},
	} {
		if got := run(t, balancer.Net, pool, netip.MustParseAddrPort(test.at)); got != test.want {
			t.Errorf("%s: %q, want %q", test.at, got, test.want)
		}
	}
}

// TestChecksOfNobody checks hosts that do not exist, and a gateway that does not.
func TestChecksOfNobody(t *testing.T) {
	if err := linux.Available(); err != nil {
		t.Skip(err)
	}
	networks, err := linux.New(t.Context(), linux.Config{Tag: "50d"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = networks.Close() })
	err = networks.Apply(t.Context(), fabric.Topology{Networks: []fabric.Network{{ID: "net", MTU: 1500}}})
	if err != nil {
		t.Fatal(err)
	}
	server, err := networks.PlugServer(t.Context(), "server", []fabric.Port{port(2)})
	if err != nil {
		t.Fatal(err)
	}
	vip := port(1)
	vip.Gateways = []netip.Addr{netip.MustParseAddr("10.8.1.99")}
	balancer, err := networks.Plug(t.Context(), "balancer", []fabric.Port{vip})
	if err != nil {
		t.Fatal(err)
	}
	listen(t, server.Net, unix.AF_INET, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{10, 8, 1, 2}})
	listen(t, server.Net, unix.AF_INET6, &unix.SockaddrInet6{Port: 53, Addr: [16]byte{0: 0xfd, 3: 8, 15: 2}})
	tcp := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorTCP, Timeout: 500 * time.Millisecond}}
	for at, want := range map[string]string{
		"10.8.1.3:53":  "nobody has the address 10.8.1.3",
		"192.0.2.1:53": "no route to 192.0.2.1:53: the gateway 10.8.1.99 does not answer",
	} {
		if got := run(t, balancer.Net, tcp, netip.MustParseAddrPort(at)); got != want {
			t.Errorf("TCP to %s: %q, want %q", at, got, want)
		}
	}
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorUDPConnect, Timeout: time.Second}}
	for _, test := range []struct{ at, want string }{
		{"10.8.1.2:53", ""},
		{"[fd00:8::2]:53", ""},
		{"10.8.1.2:54", "port unreachable: nobody listens on 10.8.1.2:54"},
		{"10.8.1.3:53", "nobody has the address 10.8.1.3"},
		{"[fd00:8::3]:53", "nobody has the address fd00:8::3"},
		{"192.0.2.1:53", "no route to 192.0.2.1:53: the gateway 10.8.1.99 does not answer"},
	} {
		if got := run(t, balancer.Net, pool, netip.MustParseAddrPort(test.at)); got != test.want {
			t.Errorf("%s: %q, want %q", test.at, got, test.want)
		}
	}
}

// listen has a UDP port answered by silence.
func listen(t *testing.T, on dataplane.Net, family int, at unix.Sockaddr) {
	t.Helper()
	fd, err := on.Socket(family, unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, at); err != nil {
		t.Fatal(err)
	}
}

// TestNobodyBehindARouter checks hosts that a router looks for in vain, more at once than routers by default tell one about.
func TestNobodyBehindARouter(t *testing.T) {
	if err := linux.Available(); err != nil {
		t.Skip(err)
	}
	networks, err := linux.New(t.Context(), linux.Config{Tag: "50e"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = networks.Close() })
	near, far := port(99), port(98)
	for i := range far.Addresses {
		far.Addresses[i] = behind(far.Addresses[i])
	}
	err = networks.Apply(t.Context(), fabric.Topology{
		Networks: []fabric.Network{{ID: "net", MTU: 1500}, {ID: "far", MTU: 1500}},
		Routers: []fabric.Router{{ID: "router", Interfaces: []fabric.RouterPort{
			{PortID: near.ID, NetworkID: "net", MAC: near.MAC, Addresses: near.Addresses},
			{PortID: far.ID, NetworkID: "far", MAC: far.MAC, Addresses: far.Addresses},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	member, vip := port(2), port(1)
	member.NetworkID = "far"
	for i := range near.Addresses {
		member.Addresses[i] = behind(member.Addresses[i])
		member.Gateways = append(member.Gateways, far.Addresses[i].Addr())
		vip.Gateways = append(vip.Gateways, near.Addresses[i].Addr())
	}
	server, err := networks.PlugServer(t.Context(), "server", []fabric.Port{member})
	if err != nil {
		t.Fatal(err)
	}
	balancer, err := networks.Plug(t.Context(), "balancer", []fabric.Port{vip})
	if err != nil {
		t.Fatal(err)
	}
	listen(t, server.Net, unix.AF_INET, &unix.SockaddrInet4{Port: 53, Addr: member.Addresses[0].Addr().As4()})
	listen(t, server.Net, unix.AF_INET6, &unix.SockaddrInet6{Port: 53, Addr: member.Addresses[1].Addr().As16()})
	connect := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorUDPConnect, Timeout: patience}}
	ping := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorPing, Timeout: patience}}
	var wg sync.WaitGroup
	check := func(pool dataplane.Pool, at, want string) {
		wg.Go(func() {
			got := ""
			for range 3 { // on a busy machine the router's word may come too late
				if got = run(t, balancer.Net, pool, netip.MustParseAddrPort(at)); got == want {
					return
				}
			}
			t.Errorf("%s of %s: %q, want %q", pool.Monitor.Type, at, got, want)
		})
	}
	check(connect, "10.8.2.2:53", "")
	check(connect, "[fd00:9::2]:53", "")
	check(connect, "10.8.2.2:54", "port unreachable: nobody listens on 10.8.2.2:54")
	check(ping, "10.8.2.2:80", "")
	check(ping, "10.8.2.3:80", "no route to 10.8.2.3")
	for dead := 10; dead < 30; dead++ {
		at := fmt.Sprintf("10.8.2.%d:53", dead)
		check(connect, at, "no route to "+at)
		at = fmt.Sprintf("[fd00:9::%d]:53", dead)
		check(connect, at, "no route to "+at)
	}
	wg.Wait()
}

// behind is the same address in the network behind the router.
func behind(p netip.Prefix) netip.Prefix {
	bytes, subnet := p.Addr().AsSlice(), 2
	if p.Addr().Is6() {
		subnet = 3
	}
	bytes[subnet]++
	address, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(address, p.Bits())
}

func port(last byte) fabric.Port {
	return fabric.Port{
		ID: string('a' + rune(last)), NetworkID: "net", MTU: 1500, MAC: net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 1, last},
		Addresses: []netip.Prefix{
			netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 8, 1, last}), 24),
			netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 3: 8, 15: last}), 64),
		},
	}
}

// forbiddenNet lets nobody ping.
type forbiddenNet struct{ hostNet }

func (n forbiddenNet) Socket(family, kind int) (int, error) {
	if kind == dataplane.EchoSocket {
		return -1, errors.Join(unix.EACCES)
	}
	return n.hostNet.Socket(family, kind)
}

func TestPingIsNotAllowed(t *testing.T) {
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorPing}}
	if got := run(t, forbiddenNet{}, pool, at); !strings.Contains(got, "net.ipv4.ping_group_range") {
		t.Error(got)
	}
}
