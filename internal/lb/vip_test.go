package lb_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
)

func balancer(t *testing.T, vip lb.VIP) *lb.LoadBalancer {
	t.Helper()
	tree, err := lb.NewLoadBalancer(lb.LoadBalancerCreate{ID: "lb", ProjectID: "project", VIP: vip}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestAllowedCIDRsOfADualStack(t *testing.T) {
	four := lb.VIP{Address: netip.MustParseAddr("192.0.2.1")}
	both := lb.VIP{Address: four.Address, Additional: []lb.AdditionalVIP{{SubnetID: "s", Address: netip.MustParseAddr("fd00::1")}}}
	guarded := lb.VIP{Address: four.Address, VIPOptions: lb.VIPOptions{SecurityGroupIDs: []string{"g"}}}
	const incompatible = "Validation failure: CIDR fd00::/8 IP version incompatible with all VIPs ['192.0.2.1'] IP version."
	const exclusive = "Validation failure: Allowed CIDRs are not allowed when using custom VIP Security Groups."
	for _, tt := range []struct {
		name, cidr string
		vip        lb.VIP
		want       string
	}{
		{"IPv4 of IPv4", "10.0.0.0/8", four, ""},
		{"IPv6 of IPv4", "fd00::/8", four, incompatible},
		{"IPv4 of both", "10.0.0.0/8", both, ""},
		{"IPv6 of both", "fd00::/8", both, ""},
		{"beside security groups", "10.0.0.0/8", guarded, exclusive},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := lb.ListenerCreate{ID: "l", Protocol: "TCP", ProtocolPort: 80}
			in.AllowedCIDRs = lb.Some([]netip.Prefix{netip.MustParsePrefix(tt.cidr)})
			_, err := balancer(t, tt.vip).CreateListener(in)
			if got := errorText(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("security groups beside allowed CIDRs", func(t *testing.T) {
		tree := balancer(t, four)
		in := lb.ListenerCreate{ID: "l", Protocol: "TCP", ProtocolPort: 80}
		in.AllowedCIDRs = lb.Some([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
		if _, err := tree.CreateListener(in); err != nil {
			t.Fatal(err)
		}
		change := lb.LoadBalancerAttrs{VIPOptions: lb.VIPOptionAttrs{SecurityGroupIDs: lb.Some([]string{"g"})}}
		if got := errorText(tree.Update(change)); got != exclusive {
			t.Errorf("got %q, want %q", got, exclusive)
		}
	})
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestVIPOptions(t *testing.T) {
	before := lb.VIPOptions{QoSPolicyID: "gold", SecurityGroupIDs: []string{"a", "b"}}
	for _, tt := range []struct {
		name         string
		in           lb.VIPOptionAttrs
		added, after lb.VIPOptions
	}{
		{"nothing", lb.VIPOptionAttrs{}, lb.VIPOptions{}, before},
		{
			"the same",
			lb.VIPOptionAttrs{QoSPolicyID: lb.Some("gold"), SecurityGroupIDs: lb.Some([]string{"b"})},
			lb.VIPOptions{},
			lb.VIPOptions{QoSPolicyID: "gold", SecurityGroupIDs: []string{"b"}},
		},
		{
			"others",
			lb.VIPOptionAttrs{QoSPolicyID: lb.Some("tin"), SecurityGroupIDs: lb.Some([]string{"b", "c"})},
			lb.VIPOptions{QoSPolicyID: "tin", SecurityGroupIDs: []string{"c"}},
			lb.VIPOptions{QoSPolicyID: "tin", SecurityGroupIDs: []string{"b", "c"}},
		},
		{
			"null",
			lb.VIPOptionAttrs{QoSPolicyID: lb.Null[string](), SecurityGroupIDs: lb.Null[[]string]()},
			lb.VIPOptions{},
			lb.VIPOptions{},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vip := lb.VIP{Address: netip.MustParseAddr("192.0.2.1"), VIPOptions: before}
			vip.SecurityGroupIDs = slices.Clone(before.SecurityGroupIDs)
			tree := balancer(t, vip)
			if diff := cmp.Diff(tt.added, tt.in.Added(before)); diff != "" {
				t.Error("to be checked (-want +got)\n", diff)
			}
			if err := tree.Update(lb.LoadBalancerAttrs{VIPOptions: tt.in}); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.after, tree.VIP.VIPOptions); diff != "" {
				t.Error("afterwards (-want +got)\n", diff)
			}
		})
	}
}
