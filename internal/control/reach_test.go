package control

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"poise/internal/fabric"
	"poise/internal/lb"
)

// A member to which no way leads says so, with a health monitor and without one.
func TestMemberWithoutRoute(t *testing.T) {
	vip := fabric.Port{
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.5/24")}, Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1")},
	}
	alone := fabric.Port{Addresses: vip.Addresses}
	routed := fabric.Port{Addresses: vip.Addresses, Routes: []fabric.Route{
		{Destination: netip.MustParsePrefix("10.9.0.0/24"), NextHop: netip.MustParseAddr("10.0.0.7")},
	}}
	six := fabric.Port{Addresses: []netip.Prefix{netip.MustParsePrefix("fd00::5/64")}}
	for _, tt := range []struct {
		name, member string
		ports        []fabric.Port
		reached      bool
	}{
		{"beside", "10.0.0.9", []fabric.Port{alone}, true},
		{"by the gateway", "10.9.0.9", []fabric.Port{vip}, true},
		{"by a host route", "10.9.0.9", []fabric.Port{routed}, true},
		{"beside the host route", "10.9.1.9", []fabric.Port{routed}, false},
		{"no gateway", "10.9.0.9", []fabric.Port{alone}, false},
		{"other IP version", "fd00::9", []fabric.Port{vip}, false},
		{"other IP version, with a port there", "fd00::9", []fabric.Port{vip, six}, true},
		{"not plugged yet", "fd00::9", nil, true},
		{"loopback fabric", "fd00::9", []fabric.Port{{Addresses: []netip.Prefix{netip.MustParsePrefix("127.15.25.5/24")}}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			member := &lb.Member{Address: netip.MustParseAddr(tt.member), Weight: 1}
			member.ID, member.AdminStateUp = "member", true
			tree := &lb.LoadBalancer{Pools: []*lb.Pool{{Members: []*lb.Member{member}}}}
			tree.Pools[0].ID, tree.Pools[0].AdminStateUp = "pool", true
			listener := &lb.Listener{DefaultPoolID: "pool"}
			listener.AdminStateUp, tree.AdminStateUp = true, true
			tree.Listeners = []*lb.Listener{listener}
			status := lb.Rollup(tree, lb.Seen{Unreachable: unreachable(tree, tt.ports)}, nil, time.Now())["member"]
			if reached := status.Operating != lb.InError; reached != tt.reached {
				t.Errorf("%+v", status)
			}
			if !tt.reached && !strings.HasPrefix(status.Reason, "no route from the load balancer's subnets (10.0.0.0/24) to "+tt.member) {
				t.Errorf("the reason is %q", status.Reason)
			}
		})
	}
}
