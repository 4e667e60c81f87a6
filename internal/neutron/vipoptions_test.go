package neutron_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/fabric"
	"poise/internal/fabric/loopback"
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
				lb.Invalid, "Validation failure: Subnet x not found",
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
				vip.VIPOptions = lb.VIPOptions{}
				wantGroups(one.bare, false)
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

// TestVIPPortGroups sets the groups of a VIP's port as Terraform's security_group_ids and `openstack port set
// --security-group` do: what the answer confirms stands, and filters.
func TestVIPPortGroups(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/28")
		web, other := c.group(alice, "web"), c.group(alice, "other")
		c.rule(alice, web, object{"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
		supplied := c.port(alice, network, nil)
		byDefault := supplied["security_groups"].([]any)
		for name, req := range map[string]lb.VIPRequest{
			"own port": {SubnetID: id(subnet)}, "supplied port": {PortID: id(supplied)},
		} {
			t.Run(name, func(t *testing.T) {
				req.LoadBalancerID, req.ProjectID = uuid.NewString(), "p1"
				vip, err := c.service.CreateVIP(t.Context(), alice, req)
				if err != nil {
					t.Fatal(err)
				}
				told := make(chan string, 32)
				c.service.OnAttachmentChange(func(device string) { told <- device })
				filter := func() *fabric.Filter {
					t.Helper()
					plug, err := c.service.AttachVIP(t.Context(), vip)
					if err != nil {
						t.Fatal(err)
					}
					return plug.Filter
				}
				port := "/v2.0/ports/" + vip.PortID
				put := func(attributes object) object {
					return c.must(alice, "PUT", port, object{"port": attributes})
				}
				if shown := c.must(alice, "GET", port, nil); shown["port_security_enabled"] != true || filter() != nil {
					t.Errorf("before: port security %v, filter %v", shown["port_security_enabled"], filter())
				}
				for _, groups := range [][]any{{id(web)}, {id(web), id(other)}, {}, byDefault, {id(web)}} {
					slices.SortFunc(groups, func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
					for len(told) > 0 {
						<-told
					}
					put(object{"security_groups": groups})
					put(object{"name": "renamed"})
					if diff := cmp.Diff(groups, c.must(alice, "GET", port, nil)["security_groups"]); diff != "" {
						t.Error("reads back (-want +got)\n", diff)
					}
					if (filter() != nil) != (len(groups) > 0) || len(told) == 0 {
						t.Errorf("groups %v: filter %v, %d were told", groups, filter(), len(told))
					}
				}
				if got := filter(); len(got.In) != 1 || got.In[0].Ports.First != 80 {
					t.Errorf("the filter lets in %v", got.In)
				}

				vip.SecurityGroupIDs = []string{id(other)} // wins
				filter()
				c.refused(alice, "PUT", port, object{"port": object{"security_groups": []any{id(web)}}}, 409, "Conflict")
				c.refused(alice, "PUT", port, object{"port": object{"port_security_enabled": false}}, 409, "Conflict")
				put(object{"security_groups": []any{id(other)}})
				if got := filter(); got == nil || len(got.In) != 0 {
					t.Errorf("vip_sg_ids let in %v", got)
				}
				vip.SecurityGroupIDs = nil // and what was set before counts again
				if got := filter(); got == nil || len(got.In) != 1 {
					t.Errorf("afterwards the filter is %v", got)
				}
				put(object{"port_security_enabled": false})
				if got := filter(); got != nil {
					t.Errorf("without port security the filter is %v", got)
				}
				put(object{"port_security_enabled": true})
				if err := c.service.ReleaseVIP(t.Context(), req.LoadBalancerID); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

// A supplied port keeps its owner's groups through vip_sg_ids, and is its owner's again afterwards.
func TestSuppliedPortKeepsItsGroups(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/28")
		web, guard := c.group(alice, "web"), c.group(alice, "guard")
		supplied := c.port(alice, network, object{"security_groups": []any{id(web)}})
		vip, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{
			LoadBalancerID: "one", ProjectID: "p1", PortID: id(supplied), VIPOptions: lb.VIPOptions{SecurityGroupIDs: []string{id(guard)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		shown := func() any { return c.must(alice, "GET", "/v2.0/ports/"+vip.PortID, nil)["security_groups"] }
		if diff := cmp.Diff([]any{id(guard)}, shown()); diff != "" {
			t.Error("while the load balancer has it (-want +got)\n", diff)
		}
		if err := c.service.ReleaseVIP(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]any{id(web)}, shown()); diff != "" {
			t.Error("afterwards (-want +got)\n", diff)
		}
	})
}

func TestLoopbackRefusesVIPSecurityGroups(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := start(t, db, "loopback")
		group := c.group(alice, "web")
		err := c.service.VIPOptionsVisible(t.Context(), alice, lb.VIPOptions{SecurityGroupIDs: []string{id(group)}})
		if lb.CodeOf(err) != lb.Unsupported {
			t.Error("security groups of a VIP:", err)
		}
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/28")
		if filter := c.plugged(id(c.port(alice, network, nil))); filter != nil {
			t.Error("a port is to be filtered:", filter)
		}
	})
}

// TestNetworkWithSubnetsTurnsExternal uses the real loopback fabric, which knows the network's own range already.
func TestNetworkWithSubnetsTurnsExternal(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		c := startOn(t, db, loopback.New(nil))
		network := c.network(root, nil)
		c.subnet(root, network, "127.9.0.0/24")
		c.refused(root, "POST", "/v2.0/subnets", object{"subnet": object{
			"network_id": c.network(root, nil)["id"], "cidr": "127.9.0.128/25", "ip_version": 4,
		}}, 400, "InvalidInput")
		c.refused(root, "POST", "/v2.0/subnets", object{"subnet": object{
			"network_id": network["id"], "cidr": "fd00::/64", "ip_version": 6,
		}}, 400, "InvalidInput")
		got := c.must(root, "PUT", "/v2.0/networks/"+id(network), object{"network": object{"router:external": true}})
		if got["router:external"] != true {
			t.Error("the network is still", got)
		}
	})
}

func TestFloatingIPOfAStoppedRouter(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside, inside := c.network(root, object{"router:external": true}), c.network(alice, nil)
		c.subnet(root, outside, "198.51.100.0/24")
		c.must(root, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": outside["id"], "cidr": "2001:db8::/64", "ip_version": 6}})
		subnet := c.subnet(alice, inside, "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		c.must(alice, "PUT", "/v2.0/routers/"+id(router)+"/add_router_interface", object{"subnet_id": subnet["id"]})
		topology, _ := c.fabric.last()
		want := []netip.Addr{addr("198.51.100.1"), addr("2001:db8::1")}
		if got := topology.Routers[0].NextHops; !slices.Equal(got, want) {
			t.Errorf("default routes of the router %v, want %v", got, want)
		}
		port := c.port(alice, inside, nil)
		made := c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"], "port_id": port["id"]}})
		for _, tt := range []struct {
			up   bool
			want string
		}{{true, "ACTIVE"}, {false, "DOWN"}, {true, "ACTIVE"}} {
			c.must(alice, "PUT", "/v2.0/routers/"+id(router), object{"router": object{"admin_state_up": tt.up}})
			if got := c.must(alice, "GET", "/v2.0/floatingips/"+id(made), nil); got["status"] != tt.want {
				t.Errorf("status is %v with the router up: %v", got["status"], tt.up)
			}
		}
	})
}
