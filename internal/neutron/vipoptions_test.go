package neutron_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"poise/internal/lb"
)

func TestAdditionalVIPs(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		v4, other := c.subnet(alice, network, "10.0.0.0/28"), c.subnet(alice, network, "10.0.1.0/28")
		v6 := c.must(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "cidr": "fd00::/64", "ip_version": 6}})
		elsewhere := c.subnet(alice, c.network(alice, nil), "10.9.0.0/28")
		port := c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.9"}, {"ip_address": "fd00::9"}}})
		more := func(subnet object, address string) lb.AdditionalVIP {
			a := lb.AdditionalVIP{SubnetID: id(subnet)}
			if address != "" {
				a.Address = addr(address)
			}
			return a
		}
		for _, one := range []struct {
			name string
			req  lb.VIPRequest
			code lb.Code
			want string // the message, or the addresses
		}{
			{"dual-stack", lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{more(v6, ""), more(other, "10.0.1.7")}}, 0, "10.0.0.2 fd00::2 10.0.1.7"},
			{"network", lb.VIPRequest{NetworkID: id(network), Additional: []lb.AdditionalVIP{more(v6, "")}}, 0, "10.0.0.3 fd00::3"},
			{"port", lb.VIPRequest{PortID: id(port), SubnetID: id(v6), Additional: []lb.AdditionalVIP{more(v4, "")}}, 0, "fd00::9 10.0.0.9"},
			{
				"the VIP's subnet",
				lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{more(v4, "")}},
				lb.Invalid, "Validation failure: Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.",
			},
			{
				"a subnet twice",
				lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{more(v6, ""), more(v6, "")}},
				lb.Invalid, "Validation failure: Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet.",
			},
			{
				"another network",
				lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{more(elsewhere, "")}},
				lb.Invalid, "Validation failure: All VIP subnets must belong to the same network.",
			},
			{
				"no subnet",
				lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{{SubnetID: "x"}}},
				lb.Invalid, "Subnet x not found.",
			},
			{
				"in use",
				lb.VIPRequest{SubnetID: id(v4), Additional: []lb.AdditionalVIP{more(other, "10.0.1.7")}},
				lb.Conflict, "The VIP IP address is already in use: 10.0.1.7",
			},
		} {
			one.req.LoadBalancerID, one.req.ProjectID = uuid.NewString(), "p1"
			vip, err := c.service.CreateVIP(t.Context(), alice, one.req)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				for i, a := range vip.Addresses() {
					got += map[bool]string{true: " "}[i > 0] + a.String()
				}
			}
			if got != one.want || lb.CodeOf(err) != one.code {
				t.Errorf("%s: got %q (code %d), want %q (code %d)", one.name, got, lb.CodeOf(err), one.want, one.code)
			}
		}
	})
}

func TestVIPSecurityGroups(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/28")
		group := c.group(alice, "web")
		c.rule(alice, group, object{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
		supplied := c.port(alice, network, nil)
		options := lb.VIPOptions{SecurityGroupIDs: []string{id(group)}}
		for _, one := range []struct {
			name string
			req  lb.VIPRequest
			bare []any // the groups of the port when the load balancer has none
		}{
			{"own port", lb.VIPRequest{SubnetID: id(subnet)}, []any{}},
			{"supplied port", lb.VIPRequest{PortID: id(supplied)}, supplied["security_groups"].([]any)},
		} {
			t.Run(one.name, func(t *testing.T) {
				one.req.LoadBalancerID, one.req.ProjectID = uuid.NewString(), "p1"
				vip, err := c.service.CreateVIP(t.Context(), alice, one.req)
				if err != nil {
					t.Fatal(err)
				}
				wantGroups := func(want []any, filtered bool) {
					t.Helper()
					plug, err := c.service.AttachVIP(t.Context(), vip)
					if err != nil || (plug.Filter != nil) != filtered {
						t.Errorf("filter %v, %v", plug.Filter, err)
					}
					port := c.must(alice, "GET", "/v2.0/ports/"+vip.PortID, nil)
					if diff := cmp.Diff(want, port["security_groups"]); diff != "" {
						t.Error("groups of the port (-want +got)\n", diff)
					}
				}
				wantGroups(one.bare, false)
				vip.VIPOptions = options
				wantGroups([]any{id(group)}, true)
				c.refused(alice, "DELETE", "/v2.0/security-groups/"+id(group), nil, 409, "SecurityGroupInUse")
			})
		}
		if err := c.service.VIPOptionsVisible(t.Context(), bob, options); lb.CodeOf(err) != lb.Invalid || err.Error() != "Security Group "+id(group)+" not found." {
			t.Error("somebody else's group:", err)
		}
		vip, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "x", ProjectID: "p1", SubnetID: id(subnet), VIPOptions: options})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.service.ReleaseVIP(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		want := "port " + vip.PortID + " of the VIP has been deleted by its owner, so nothing can reach the load balancer any more; delete it, or make a new one"
		if _, err := c.service.AttachVIP(t.Context(), vip); err == nil || err.Error() != want {
			t.Error("without its port:", err)
		}
	})
}
