package linux

import (
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
)

// shutFabric is a fabric whose tenants may reach these ports of the host.
func shutFabric(t *testing.T, ports ...HostPort) *Fabric {
	t.Helper()
	f := newFabric(t)
	if err := f.shutGate(ports); err != nil {
		t.Fatal(err)
	}
	return f
}

// udpEcho answers datagrams, and returns the port.
func udpEcho(t *testing.T, on dataplane.Net, address string) uint16 {
	t.Helper()
	addr := netip.MustParseAddr(address)
	fd, err := on.Socket(familyOf(addr), unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "echo")
	defer file.Close()
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0))); err != nil {
		t.Fatal(err)
	}
	c, err := net.FilePacketConn(file)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo(buf[:n], from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// udpAsk says whether a datagram is answered.
func udpAsk(t *testing.T, from dataplane.Net, address string, port uint16) error {
	t.Helper()
	to := netip.AddrPortFrom(netip.MustParseAddr(address), port)
	fd, err := from.Socket(familyOf(to.Addr()), unix.SOCK_DGRAM)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "ask")
	defer file.Close()
	if err := unix.Connect(fd, sockaddr(to)); err != nil {
		return err
	}
	_ = file.SetDeadline(time.Now().Add(500 * time.Millisecond))
	if _, err := file.Write([]byte("?")); err != nil {
		return err
	}
	_, err = file.Read(make([]byte, 1))
	return err
}

// A tenant's member is a service of the host on a wildcard address, or its gateway address: refused, but for the ports
// that the operator has given.
func TestTenantsDoNotReachTheHost(t *testing.T) {
	f := shutFabric(t)
	topology := site()
	topology.Networks[0].Subnets = append(topology.Networks[0].Subnets, fabric.Subnet{
		ID: "public-six", CIDR: netip.MustParsePrefix("2001:db8::/64"), Gateway: netip.MustParseAddr("2001:db8::1"),
	})
	apply(t, f, topology)
	home := f.spaces.home
	shut, given := serve(t, home, "0.0.0.0", "host"), serve(t, home, "0.0.0.0", "given")
	six, datagrams := serve(t, home, "::", "host"), udpEcho(t, home, "0.0.0.0")
	if err := f.shutGate([]HostPort{{unix.IPPROTO_TCP, fabric.PortRange{First: given, Last: given}}}); err != nil {
		t.Fatal(err)
	}
	inside := plugServer(t, f, "inside", port("inside", "red", "10.0.0.9/24"))
	lb := plug(t, f, "lb", port("vip", "public", "203.0.113.7/24", "2001:db8::7/64"))

	for name, from := range map[string]dataplane.Net{"behind a router": inside.Net, "in the external network": lb.Net} {
		t.Run(name, func(t *testing.T) {
			isShut(t, dialer(from), "203.0.113.1", shut)
			if err := udpAsk(t, from, "203.0.113.1", datagrams); err == nil {
				t.Error("the host answers a datagram")
			}
			if got, err := hear(t, dialer(from), "203.0.113.1", given); err != nil {
				t.Errorf("a port that is given: %q, %v", got, err)
			}
		})
	}
	isShut(t, dialer(lb.Net), "2001:db8::1", six)

	// What the host begins goes on.
	wantGreeting(t, hostDial, "203.0.113.7", serve(t, lb.Net, "203.0.113.7", "four"), "four to 203.0.113.1")
	wantGreeting(t, hostDial, "2001:db8::7", serve(t, lb.Net, "2001:db8::7", "six"), "six to 2001:db8::1")
	for _, address := range []string{"203.0.113.7", "2001:db8::7"} {
		if err := udpAsk(t, home, address, udpEcho(t, lb.Net, address)); err != nil {
			t.Errorf("the host hears no answer of %s: %v", address, err)
		}
	}
}

// The metadata service of the cloud that the host itself runs in is behind the host, and not for tenants.
func TestLinkLocalIsNotForwarded(t *testing.T) {
	f := shutFabric(t)
	topology := site()
	topology.Networks = append(topology.Networks, fabric.Network{ID: "beyond", External: true, Subnets: []fabric.Subnet{
		{CIDR: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("198.51.100.1")},
		{CIDR: netip.MustParsePrefix("169.254.0.0/16"), Gateway: netip.MustParseAddr("169.254.0.1")},
	}})
	apply(t, f, topology)
	if err := f.spaces.home.set(settings{{"ipv4/ip_forward", "1"}}); err != nil {
		t.Fatal(err)
	}
	far := port("far", "beyond", "198.51.100.9/24", "169.254.169.254/16")
	far.Gateways = far.Gateways[:1]
	beyond := plugServer(t, f, "beyond", far)
	service, metadata := serve(t, beyond.Net, "198.51.100.9", "beyond"), serve(t, beyond.Net, "169.254.169.254", "metadata")
	lb := plug(t, f, "lb", port("vip", "public", "203.0.113.7/24"))
	wantGreeting(t, dialer(lb.Net), "198.51.100.9", service, "beyond to 203.0.113.7")
	isShut(t, dialer(lb.Net), "169.254.169.254", metadata)
}

func TestParseHostPorts(t *testing.T) {
	got, err := ParseHostPorts([]string{"tcp/443", "udp/8000-8080"})
	if err != nil || len(got) != 2 || got[0].Protocol != 6 || got[1].Ports != (fabric.PortRange{First: 8000, Last: 8080}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"", "443", "sctp/1", "tcp/", "tcp/0", "tcp/65536", "tcp/9-8", "tcp/1-2-3"} {
		if _, err := ParseHostPorts([]string{text}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
