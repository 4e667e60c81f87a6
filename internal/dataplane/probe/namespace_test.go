package probe

import (
	"errors"
	"net"
	"net/netip"
	"strings"
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
		{"10.8.1.3:80", "no answer from 10.8.1.3 within 1s"},
		{"[fd00:8::3]:80", "no answer from fd00:8::3 within 1s"},
		{"192.0.2.1:80", "no route to 192.0.2.1"},
	} {
		if got := run(t, balancer.Net, pool, netip.MustParseAddrPort(test.at)); got != test.want {
			t.Errorf("%s: %q, want %q", test.at, got, test.want)
		}
	}
}

// TestUDPConnectToNobody checks hosts that do not exist.
func TestUDPConnectToNobody(t *testing.T) {
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
	listen := func(family int, at unix.Sockaddr) {
		fd, err := server.Net.Socket(family, unix.SOCK_DGRAM)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		if err := unix.Bind(fd, at); err != nil {
			t.Fatal(err)
		}
	}
	listen(unix.AF_INET, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{10, 8, 1, 2}})
	listen(unix.AF_INET6, &unix.SockaddrInet6{Port: 53, Addr: [16]byte{0: 0xfd, 3: 8, 15: 2}})
	pool := dataplane.Pool{Monitor: &dataplane.Monitor{Type: dataplane.MonitorUDPConnect, Timeout: time.Second}}
	for _, test := range []struct{ at, want string }{
		{"10.8.1.2:53", ""},
		{"[fd00:8::2]:53", ""},
		{"10.8.1.2:54", "port unreachable: nobody listens on 10.8.1.2:54"},
		{"10.8.1.3:53", "nobody has the address 10.8.1.3"},
		{"[fd00:8::3]:53", "nobody has the address fd00:8::3"},
		{"192.0.2.1:53", "nobody has the address 10.8.1.99"}, // the gateway
	} {
		if got := run(t, balancer.Net, pool, netip.MustParseAddrPort(test.at)); got != test.want {
			t.Errorf("%s: %q, want %q", test.at, got, test.want)
		}
	}
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
