package neutron_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/rest"
)

func (c *cloud) group(who rest.Caller, name string) object {
	c.t.Helper()
	return c.must(who, "POST", "/v2.0/security-groups", object{"security_group": object{"name": name}})
}

func (c *cloud) rule(who rest.Caller, group object, attributes object) object {
	c.t.Helper()
	all := object{"security_group_id": group["id"], "direction": "ingress"}
	for name, value := range attributes {
		all[name] = value
	}
	return c.must(who, "POST", "/v2.0/security-group-rules", object{"security_group_rule": all})
}

// plugged is what the fabric would filter at a port.
func (c *cloud) plugged(portID string) *fabric.Filter {
	c.t.Helper()
	plug, err := c.service.Attachment(c.t.Context(), portID)
	if err != nil {
		c.t.Fatal(err)
	}
	return plug.Filter
}

func TestDefaultSecurityGroup(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		groups := c.ids(eve, "security-groups", "?name=default")
		if len(groups) != 1 || !slices.Equal(groups, c.ids(alice, "security-groups", "")) {
			t.Fatalf("groups of a new project: %v", groups)
		}
		if other := c.ids(bob, "security-groups", ""); len(other) != 1 || other[0] == groups[0] {
			t.Fatalf("groups of another project: %v", other)
		}
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/24")
		first, second := c.port(alice, network, nil), c.port(alice, network, nil)
		if diff := cmp.Diff([]any{groups[0]}, first["security_groups"]); diff != "" {
			t.Error("groups of a new port (-want +got)\n", diff)
		}
		peers := []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("10.0.0.3/32")}
		want := &fabric.Filter{In: []fabric.Pass{{Remotes: peers}}, Out: []fabric.Pass{{}, {IPv6: true}}}
		got := c.plugged(id(second))
		slices.SortFunc(got.Out, func(a, _ fabric.Pass) int { return map[bool]int{true: 1, false: -1}[a.IPv6] })
		if diff := cmp.Diff(want, got, prefixes); diff != "" {
			t.Error("filter of the default group (-want +got)\n", diff)
		}
		open := c.port(alice, network, object{"port_security_enabled": false})
		if groups := open["security_groups"].([]any); len(groups) != 0 || c.plugged(id(open)) != nil {
			t.Errorf("a port without port security is in %v, filtered by %v", groups, c.plugged(id(open)))
		}
		c.refused(alice, "DELETE", "/v2.0/security-groups/"+groups[0], nil, 409, "SecurityGroupCannotRemoveDefault")
		c.refused(alice, "POST", "/v2.0/security-groups", object{"security_group": object{"name": "default"}}, 409, "SecurityGroupDefaultAlreadyExists")
	})
}

func TestSecurityGroupRules(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/24")
		web, clients := c.group(alice, "web"), c.group(alice, "clients")
		foreign := c.group(bob, "web")
		client := c.port(alice, network, object{"security_groups": []any{id(clients)}})
		c.rule(alice, web, object{"protocol": "tcp", "port_range_min": 80, "port_range_max": "81", "remote_ip_prefix": "192.0.2.7/24"})
		c.rule(alice, web, object{"protocol": "icmp", "port_range_min": 8, "port_range_max": 0})
		c.rule(alice, web, object{"ethertype": "ipv6", "protocol": "icmp"})
		last := c.rule(alice, web, object{"protocol": "17", "remote_group_id": clients["id"]})
		server := c.port(alice, network, object{"security_groups": []any{id(web)}})
		echo, code := uint8(8), uint8(0)
		sender := netip.MustParsePrefix(client["fixed_ips"].([]any)[0].(object)["ip_address"].(string) + "/32")
		want := []fabric.Pass{
			{Protocol: 6, Ports: fabric.PortRange{First: 80, Last: 81}, Remotes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}},
			{Protocol: 1, ICMPType: &echo, ICMPCode: &code},
			{Protocol: 58, IPv6: true},
			{Protocol: 17, Remotes: []netip.Prefix{sender}},
		}
		if diff := cmp.Diff(want, c.plugged(id(server)).In, prefixes); diff != "" {
			t.Error("filter (-want +got)\n", diff)
		}
		told := make(chan string, 8)
		c.service.OnAttachmentChange(func(device string) { told <- device })
		if _, err := c.service.TakeServerPort(t.Context(), alice, "server", id(server)); err != nil {
			t.Fatal(err)
		}
		for _, change := range []struct {
			name string
			do   func()
		}{
			{"rule gone", func() { c.must(alice, "DELETE", "/v2.0/security-group-rules/"+id(last), nil) }},
			{"rule added", func() { last = c.rule(alice, web, object{"protocol": "udp", "remote_group_id": clients["id"]}) }},
			{"remote port joins", func() { c.port(alice, network, object{"security_groups": []any{id(clients)}}) }},
			{"remote port goes", func() { c.must(alice, "DELETE", "/v2.0/ports/"+id(client), nil) }},
			{"group left", func() {
				c.must(alice, "PUT", "/v2.0/ports/"+id(server), object{"port": object{"security_groups": []any{}}})
			}},
		} {
			change.do()
			select {
			case device := <-told:
				if device != "server" {
					t.Errorf("%s: told of %q", change.name, device)
				}
			default:
				t.Errorf("%s: nobody was told", change.name)
			}
		}
		if filter := c.plugged(id(server)); filter == nil || len(filter.In)+len(filter.Out) != 0 {
			t.Errorf("a port in no group lets through %v", filter)
		}

		rule := func(attributes object) object {
			all := object{"security_group_id": web["id"], "direction": "ingress"}
			for name, value := range attributes {
				all[name] = value
			}
			return object{"security_group_rule": all}
		}
		for _, refused := range []struct {
			name       string
			attributes object
			status     int
			kind       string
		}{
			{"again", object{"ethertype": "IPv6", "protocol": "icmpv6"}, 409, "SecurityGroupRuleExists"},
			{"ports without protocol", object{"port_range_min": 80, "port_range_max": 80}, 400, "SecurityGroupProtocolRequiredWithPorts"},
			{"ports of GRE", object{"protocol": "gre", "port_range_min": 80, "port_range_max": 80}, 400, "SecurityGroupInvalidProtocolForPort"},
			{"ports backwards", object{"protocol": "tcp", "port_range_min": 81, "port_range_max": 80}, 400, "SecurityGroupInvalidPortRange"},
			{"one port", object{"protocol": "tcp", "port_range_min": 81}, 400, "SecurityGroupInvalidPortRange"},
			{"code without type", object{"protocol": "icmp", "port_range_max": 0}, 400, "SecurityGroupMissingIcmpType"},
			{"type too large", object{"protocol": "icmp", "port_range_min": 256}, 400, "SecurityGroupInvalidIcmpValue"},
			{"no such protocol", object{"protocol": "smoke"}, 400, "SecurityGroupRuleInvalidProtocol"},
			{"protocol too large", object{"protocol": "256"}, 400, "SecurityGroupRuleInvalidProtocol"},
			{"other family", object{"ethertype": "IPv6", "remote_ip_prefix": "10.0.0.0/8"}, 400, "SecurityGroupRuleParameterConflict"},
			{"ICMPv6 over IPv4", object{"protocol": "ipv6-icmp"}, 400, "SecurityGroupEthertypeConflictWithProtocol"},
			{"two remotes", object{"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": clients["id"]}, 400, "SecurityGroupMultipleRemoteEntites"},
			{"group of others", object{"security_group_id": foreign["id"]}, 404, "SecurityGroupNotFound"},
			{"remote group of others", object{"remote_group_id": foreign["id"]}, 404, "SecurityGroupNotFound"},
			{"direction", object{"direction": "sideways"}, 400, "HTTPBadRequest"},
			{"prefix", object{"remote_ip_prefix": "ten"}, 400, "HTTPBadRequest"},
		} {
			t.Run(refused.name, func(t *testing.T) {
				c.t = t
				c.refused(alice, "POST", "/v2.0/security-group-rules", rule(refused.attributes), refused.status, refused.kind)
			})
		}
		c.t = t
		c.refused(alice, "POST", "/v2.0/ports", object{"port": object{"network_id": network["id"], "security_groups": []any{id(foreign)}}},
			404, "SecurityGroupNotFound")
		c.refused(alice, "POST", "/v2.0/ports", object{"port": object{
			"network_id": network["id"], "security_groups": []any{id(web)}, "port_security_enabled": false,
		}}, 400, "PortSecurityAndIPRequiredForSecurityGroups")
		used := c.port(alice, network, object{"security_groups": []any{id(web)}})
		c.refused(alice, "DELETE", "/v2.0/security-groups/"+id(web), nil, 409, "SecurityGroupInUse")
		c.must(alice, "DELETE", "/v2.0/ports/"+id(used), nil)
		c.must(alice, "DELETE", "/v2.0/security-groups/"+id(web), nil)
		c.refused(alice, "GET", "/v2.0/security-group-rules/"+id(last), nil, 404, "SecurityGroupRuleNotFound")
	})
}

func TestQoSPolicies(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		policy := func(who rest.Caller, attributes object) object {
			return c.must(who, "POST", "/v2.0/qos/policies", object{"policy": attributes})
		}
		own, shared := policy(alice, object{"name": "slow"}), policy(root, object{"name": "all", "shared": true})
		if got := c.must(alice, "PUT", "/v2.0/qos/policies/"+id(own), object{"policy": object{"description": "d"}}); got["description"] != "d" {
			t.Errorf("updated policy %v", got)
		}
		c.must(bob, "GET", "/v2.0/qos/policies/"+id(shared), nil)
		c.refused(bob, "GET", "/v2.0/qos/policies/"+id(own), nil, 404, "QosPolicyNotFound")
		c.refused(alice, "POST", "/v2.0/qos/policies", object{"policy": object{"shared": true}}, 403, "PolicyNotAuthorized")
		c.refused(alice, "POST", "/v2.0/qos/policies/"+id(own)+"/bandwidth_limit_rules",
			object{"bandwidth_limit_rule": object{"max_kbps": 1}}, 501, "NotImplementedError")
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/24")
		path := "/v2.0/networks/" + id(network)
		with := func(policy object) object { return object{"network": object{"qos_policy_id": policy["id"]}} }
		if got := c.must(alice, "PUT", path, with(own)); got["qos_policy_id"] != own["id"] {
			t.Errorf("network %v", got)
		}
		c.refused(alice, "DELETE", "/v2.0/qos/policies/"+id(own), nil, 409, "QosPolicyInUse")
		c.must(alice, "PUT", path, with(object{"id": nil}))
		c.refused(bob, "POST", "/v2.0/networks", with(own), 404, "QosPolicyNotFound")
		port := c.port(alice, network, object{"qos_policy_id": own["id"]})
		c.refused(alice, "DELETE", "/v2.0/qos/policies/"+id(own), nil, 409, "QosPolicyInUse")

		for _, one := range []struct {
			name, message string
			req           lb.VIPRequest
			policy        string
		}{
			{"inherited", "", lb.VIPRequest{PortID: id(port)}, id(own)},
			{"given", "", lb.VIPRequest{SubnetID: id(subnet), VIPOptions: lb.VIPOptions{QoSPolicyID: id(shared)}}, id(shared)},
			{"none", "qos_policy x not found.", lb.VIPRequest{SubnetID: id(subnet), VIPOptions: lb.VIPOptions{QoSPolicyID: "x"}}, ""},
		} {
			one.req.LoadBalancerID, one.req.ProjectID = uuid.NewString(), "p1"
			vip, err := c.service.CreateVIP(t.Context(), alice, one.req)
			if err != nil && err.Error() != one.message || vip.QoSPolicyID != one.policy {
				t.Errorf("%s: %q, %v", one.name, vip.QoSPolicyID, err)
			}
		}
	})
}

var prefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })
