package loopback

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

func TestCheckSubnet(t *testing.T) {
	f := New(nil)
	taken := fabric.Network{ID: "tenant", Subnets: []fabric.Subnet{{ID: "s", CIDR: netip.MustParsePrefix("127.10.0.0/24")}}}
	if err := f.Apply(t.Context(), fabric.Topology{Networks: []fabric.Network{taken}}); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, cidr string
		ok         bool
	}{
		{"inside", "127.20.0.0/24", true},
		{"all of it overlaps", "127.0.0.0/8", false},
		{"the host's own", "127.0.53.0/24", false},
		{"next to the taken one", "127.10.1.0/24", true},
		{"taken", "127.10.0.0/24", false},
		{"half of the taken one", "127.10.0.128/25", false},
		{"private", "10.0.0.0/24", false},
		{"wider than loopback", "126.0.0.0/7", false},
		{"everything", "0.0.0.0/0", false},
		{"IPv6 loopback", "::1/128", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := f.CheckSubnet("new", netip.MustParsePrefix(tt.cidr), false)
			if (err == nil) != tt.ok {
				t.Fatalf("CheckSubnet: %v", err)
			}
			if err != nil && !errors.As(err, new(*fabric.UnsupportedSubnetError)) {
				t.Errorf("CheckSubnet: %T, want an UnsupportedSubnetError", err)
			}
		})
	}
	if err := f.Apply(t.Context(), fabric.Topology{}); err != nil {
		t.Fatal(err)
	}
	if err := f.CheckSubnet("new", netip.MustParsePrefix("127.10.0.0/24"), false); err != nil {
		t.Errorf("after its network is gone: %v", err)
	}
}

func TestPlugBindsFixedAndFloating(t *testing.T) {
	f := New(nil)
	endpoint, err := f.Plug(t.Context(), "lb", []fabric.Port{{
		Addresses: []netip.Prefix{netip.MustParsePrefix("127.10.0.5/24")},
		Floating:  []netip.Addr{netip.MustParseAddr("127.99.0.5")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("127.10.0.5"), netip.MustParseAddr("127.99.0.5")}
	if diff := cmp.Diff(want, endpoint.Bind, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("Bind (-want +got):\n%s", diff)
	}
	for _, a := range endpoint.Bind {
		fd, err := endpoint.Net.Socket(unix.AF_INET, unix.SOCK_STREAM)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()}); err != nil {
			t.Errorf("bind to %s: %v", a, err)
		}
	}
}

func TestPlugRefusesAddressesOfTheHost(t *testing.T) {
	_, err := New(nil).PlugServer(t.Context(), "server", []fabric.Port{{
		Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
	}})
	if !errors.As(err, new(*fabric.UnsupportedSubnetError)) {
		t.Errorf("PlugServer: %v, want an UnsupportedSubnetError", err)
	}
}

// Members are not what the host has for itself, nor the API of the server, however it is written.
func TestCheckMember(t *testing.T) {
	for _, tt := range []struct {
		name, api, member string
		ok                bool
	}{
		{"elsewhere", "127.0.0.1:9876", "127.15.25.3:80", true},
		{"another machine, another IP version", "127.0.0.1:9876", "[2001:db8::1]:9876", true},
		{"the host's own", "127.0.0.1:9876", "127.0.0.53:53", false},
		{"the host's own, mapped", "127.0.0.1:9876", "[::ffff:127.0.0.1]:80", false},
		{"the API", "192.0.2.1:9876", "192.0.2.1:9876", false},
		{"beside the API", "192.0.2.1:9876", "192.0.2.1:9877", true},
		{"the API on every address", "0.0.0.0:9876", "127.15.25.3:9876", false},
		{"the API on every address, IPv6", "[::]:9876", "127.15.25.3:9876", false},
		{"another machine", "[::]:9876", "192.0.2.7:9876", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := New(nil)
			f.Protect(netip.MustParseAddrPort(tt.api))
			if err := f.CheckMember(netip.MustParseAddrPort(tt.member)); (err == nil) != tt.ok {
				t.Errorf("CheckMember: %v", err)
			}
		})
	}
}
