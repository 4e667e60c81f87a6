package neutron_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// everyKind makes one object of each kind and returns their paths.
func (c *cloud) everyKind() map[string]string {
	c.t.Helper()
	outside := c.network(root, object{"router:external": true})
	c.subnet(root, outside, "198.51.100.0/24")
	network := c.network(alice, nil)
	group := c.group(alice, "g")
	made := map[string]object{
		"network": network, "subnet": c.subnet(alice, network, "10.0.0.0/24"), "port": c.port(alice, network, nil), "security_group": group,
		"router":     c.must(alice, "POST", "/v2.0/routers", object{"router": object{}}),
		"floatingip": c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}}),
		"policy":     c.must(alice, "POST", "/v2.0/qos/policies", object{"policy": object{"name": "q"}}),
		"subnetpool": c.must(alice, "POST", "/v2.0/subnetpools", object{"subnetpool": object{"name": "o", "prefixes": []string{"10.0.0.0/8"}}}),
		"security_group_rule": c.must(alice, "POST", "/v2.0/security-group-rules", object{"security_group_rule": object{
			"security_group_id": group["id"], "direction": "ingress",
		}}),
	}
	folders := map[string]string{
		"network": "networks", "subnet": "subnets", "port": "ports", "router": "routers", "floatingip": "floatingips",
		"security_group": "security-groups", "security_group_rule": "security-group-rules", "policy": "qos/policies", "subnetpool": "subnetpools",
	}
	paths := map[string]string{}
	for kind, one := range made {
		paths[kind] = "/v2.0/" + folders[kind] + "/" + id(one)
	}
	return paths
}

func revision(n any) string { return fmt.Sprintf("revision_number=%v", n) }

// TestIfMatch changes each kind of object under the condition of a revision.
func TestIfMatch(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		for kind, path := range c.everyKind() {
			first := c.must(alice, "GET", path, nil)["revision_number"].(float64)
			describe := func(text string) object { return object{kind: object{"description": text}} }
			if status, answer := c.callIf(alice, revision(first), "PUT", path, describe("one")); status != http.StatusOK {
				t.Errorf("%s: with its revision: %d %v", kind, status, answer)
			}
			second := c.must(alice, "GET", path, nil)["revision_number"].(float64)
			if second <= first {
				t.Errorf("%s: revision %v after a change, %v before it", kind, second, first)
			}
			status, answer := c.callIf(alice, `"`+revision(first)+`"`, "PUT", path, describe("two"))
			want := object{"NeutronError": object{
				"type": "RevisionNumberConstraintFailed", "detail": "",
				"message": fmt.Sprintf("Constrained to %v, but current revision is %v", first, second),
			}}
			if diff := cmp.Diff(want, answer); status != http.StatusPreconditionFailed || diff != "" {
				t.Errorf("%s: with an older revision: %d %s", kind, status, diff)
			}
			if status, _ := c.callIf(alice, revision(first), "DELETE", path, nil); status != http.StatusPreconditionFailed {
				t.Errorf("%s: deletion with an older revision: %d", kind, status)
			}
			if status, _ := c.callIf(alice, revision(first), "PUT", path+"/tags/red", nil); status != http.StatusPreconditionFailed {
				t.Errorf("%s: a tag with an older revision: %d", kind, status)
			}
			if status, _ := c.callIf(bob, revision(first), "DELETE", path, nil); status != http.StatusNotFound {
				t.Errorf("%s: somebody else hears of it: %d", kind, status)
			}
			for _, wrong := range []string{"revision_number=x", "revision_number=1, revision_number=2"} {
				if status, _ := c.callIf(alice, wrong, "PUT", path, describe("three")); status != http.StatusBadRequest {
					t.Errorf("%s: If-Match: %s: %d", kind, wrong, status)
				}
			}
			now := c.must(alice, "GET", path, nil)
			if now["description"] != "one" || now["revision_number"] != second {
				t.Errorf("%s: changed by what was refused: %v", kind, now)
			}
		}
	})
}

// TestIfMatchAtTheSameTime lets one of many win who all saw the same revision.
func TestIfMatchAtTheSameTime(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		var won atomic.Int64
		var tasks sync.WaitGroup
		for i := range 12 {
			tasks.Go(func() {
				status, answer := c.callIf(alice, revision(network["revision_number"]), "PUT", "/v2.0/networks/"+id(network),
					object{"network": object{"name": fmt.Sprint(i)}})
				switch status {
				case http.StatusOK:
					won.Add(1)
				case http.StatusPreconditionFailed:
				default:
					t.Errorf("%d %v", status, answer)
				}
			})
		}
		tasks.Wait()
		if won.Load() != 1 {
			t.Errorf("%d changes of one revision succeeded", won.Load())
		}
	})
}

// TestRevisionsFollow has the revision of an object rise with what belongs to it.
func TestRevisionsFollow(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		paths := c.everyKind()
		bump := func(kind, method, path string, body any) object {
			t.Helper()
			before := c.must(alice, "GET", paths[kind], nil)["revision_number"].(float64)
			answer := c.must(alice, method, path, body)
			if after := c.must(alice, "GET", paths[kind], nil)["revision_number"].(float64); after <= before {
				t.Errorf("%s %s: the revision of the %s is still %v", method, path, kind, after)
			}
			return answer
		}
		network := c.must(alice, "GET", paths["network"], nil)
		group := c.must(alice, "GET", paths["security_group"], nil)
		second := bump("network", "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "cidr": "10.0.9.0/24", "ip_version": 4}})
		bump("network", "PUT", "/v2.0/subnets/"+id(second), object{"subnet": object{"name": "x"}})
		bump("network", "DELETE", "/v2.0/subnets/"+id(second), nil)
		bump("port", "PUT", paths["port"], object{"port": object{"security_groups": []any{group["id"]}}})
		bump("port", "PUT", paths["port"]+"/tags/red", nil)
		bump("security_group", "DELETE", paths["security_group_rule"], nil)
		subnet := c.must(alice, "GET", paths["subnet"], nil)
		bump("router", "PUT", paths["router"]+"/add_router_interface", object{"subnet_id": subnet["id"]})
		bump("router", "PUT", paths["router"]+"/remove_router_interface", object{"subnet_id": subnet["id"]})
	})
}

func TestBothSpellings(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		group := c.group(alice, "g")
		for _, path := range []string{
			"security-groups", "security_groups", "security-group-rules", "security_group_rules", "availability-zones", "availability_zones",
			"security-groups/" + id(group), "security_groups/" + id(group), "security_groups/" + id(group) + "/tags",
		} {
			if status, answer := c.call(alice, "GET", "/v2.0/"+path, nil); status != http.StatusOK {
				t.Errorf("%s: %d %v", path, status, answer)
			}
		}
		c.must(alice, "POST", "/v2.0/security_group_rules", object{"security_group_rule": object{"security_group_id": group["id"], "direction": "ingress"}})
		c.must(alice, "DELETE", "/v2.0/security_groups/"+id(group), nil)
	})
}

func TestTags(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		for _, path := range c.everyKind() {
			path += "/tags"
			for _, step := range []struct {
				method, path string
				body         any
				status       int
				kind         string
			}{
				{"PUT", "", object{"tags": []string{"b", "a"}}, 200, ""},
				{"GET", "/a", nil, 204, ""},
				{"GET", "/c", nil, 404, "TagNotFound"},
				{"PUT", "/c", nil, 201, ""},
				{"GET", "/c", nil, 204, ""},
				{"POST", "", object{"tags": []string{"d", "a"}}, 200, ""},
				{"DELETE", "/a", nil, 204, ""},
				{"DELETE", "/a", nil, 404, "TagNotFound"},
				{"PUT", "", object{"labels": []string{}}, 400, "InvalidInput"},
			} {
				status, answer := c.call(alice, step.method, path+step.path, step.body)
				fault, _ := answer["NeutronError"].(object)
				if status != step.status || step.kind != "" && fault["type"] != step.kind {
					t.Errorf("%s %s%s: %d %v, want %d %s", step.method, path, step.path, status, answer, step.status, step.kind)
				}
			}
			_, answer := c.call(alice, "GET", path, nil)
			if diff := cmp.Diff(object{"tags": []any{"b", "c", "d"}}, answer); diff != "" {
				t.Error(path, diff)
			}
			c.must(alice, "DELETE", path, nil)
			if status, _ := c.call(bob, "GET", path+"/b", nil); status != http.StatusNotFound {
				t.Errorf("somebody else asks for a tag of %s: %d", path, status)
			}
		}
	})
}

// TestBulk makes several objects by one request: all, or none.
func TestBulk(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		status, answer := c.call(alice, "POST", "/v2.0/networks", object{"networks": []object{{"name": "a"}, {"name": "b"}, {"name": "c"}}})
		networks, _ := answer["networks"].([]any)
		if status != http.StatusCreated || len(networks) != 3 || networks[1].(object)["name"] != "b" {
			t.Fatalf("%d %v", status, answer)
		}
		network := networks[0].(object)
		c.subnet(alice, network, "10.0.0.0/28")
		ports := func(n int) object {
			list := []object{}
			for range n {
				list = append(list, object{"network_id": network["id"]})
			}
			return object{"ports": list}
		}
		if status, answer := c.call(alice, "POST", "/v2.0/ports", ports(5)); status != http.StatusCreated || len(answer["ports"].([]any)) != 5 {
			t.Errorf("%d %v", status, answer)
		}
		c.refused(alice, "POST", "/v2.0/ports", ports(9), 409, "IpAddressGenerationFailure") // 13 addresses, 5 taken
		c.refused(alice, "POST", "/v2.0/ports", ports(101), 400, "HTTPBadRequest")
		c.refused(alice, "POST", "/v2.0/ports", ports(0), 400, "HTTPBadRequest")
		c.limit("p1", object{"port": 7})
		c.refused(alice, "POST", "/v2.0/ports", ports(3), 409, "OverQuota")
		if got := len(c.ids(alice, "ports", "")); got != 5 {
			t.Errorf("%d ports are there after refusals, want 5", got)
		}
		group := c.group(alice, "g")
		rule := func(port int) object {
			return object{"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": port, "port_range_max": port}
		}
		rules := object{"security_group_rules": []object{rule(1), rule(2), rule(1)}}
		c.refused(alice, "POST", "/v2.0/security-group-rules", rules, 409, "SecurityGroupRuleExists")
		rules = object{"security_group_rules": []object{rule(1), rule(2), rule(3)}}
		if status, answer := c.call(alice, "POST", "/v2.0/security-group-rules", rules); status != http.StatusCreated {
			t.Errorf("%d %v", status, answer)
		}
	})
}

// TestRoutesOfRouters sets routes as a whole and by parts, which the fabric hears of.
func TestRoutesOfRouters(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{}})
		path := "/v2.0/routers/" + id(router)
		c.must(alice, "PUT", path+"/add_router_interface", object{"subnet_id": subnet["id"]})
		route := func(destination, hop string) object { return object{"destination": destination, "nexthop": hop} }
		routes := func(list ...object) object { return object{"router": object{"routes": list}} }
		one, two := route("10.9.0.0/16", "10.0.0.5"), route("10.8.0.0/16", "10.0.0.6")

		c.must(alice, "PUT", path, routes(one))
		c.must(alice, "PUT", path+"/add_extraroutes", routes(one, two))
		now := c.must(alice, "GET", path, nil)
		if diff := cmp.Diff([]any{one, two}, now["routes"]); diff != "" {
			t.Error(diff)
		}
		topology, _ := c.fabric.last()
		if got := topology.Routers[0].Routes; len(got) != 2 || got[1].Destination.String() != "10.8.0.0/16" || got[1].NextHop.String() != "10.0.0.6" {
			t.Errorf("the fabric heard of %v", got)
		}
		for hop, wrong := range map[string]object{
			"elsewhere": route("10.9.0.0/16", "10.7.0.5"), "the router itself": route("10.9.0.0/16", "10.0.0.1"),
			"no range": route("10.9.0.1/16", "10.0.0.5"), "the other version": route("2001:db8::/32", "10.0.0.5"),
		} {
			if status, answer := c.call(alice, "PUT", path, routes(wrong)); status != 400 || answer["NeutronError"].(object)["type"] != "InvalidRoutes" {
				t.Errorf("%s: %d %v", hop, status, answer)
			}
		}
		c.refused(alice, "PUT", path+"/remove_router_interface", object{"subnet_id": subnet["id"]}, 409, "RouterInterfaceInUseByRoute")
		c.limit("p1", object{"router_route": 2})
		c.refused(alice, "PUT", path+"/add_extraroutes", routes(route("10.7.0.0/16", "10.0.0.5")), 409, "OverQuota")
		c.must(alice, "PUT", path+"/remove_extraroutes", routes(one, route("10.1.0.0/16", "10.0.0.5")))
		if diff := cmp.Diff([]any{two}, c.must(alice, "GET", path, nil)["routes"]); diff != "" {
			t.Error(diff)
		}
		c.must(alice, "PUT", path, routes())
		c.must(alice, "PUT", path+"/remove_router_interface", object{"subnet_id": subnet["id"]})
	})
}

// TestSubnetPools cuts subnets out of a pool.
func TestSubnetPools(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		pool := c.must(alice, "POST", "/v2.0/subnetpools", object{"subnetpool": object{
			"name": "o", "prefixes": []string{"10.2.0.0/16", "10.1.0.0/16", "10.1.4.0/24"}, "default_prefixlen": 24, "min_prefixlen": 16,
		}})
		if diff := cmp.Diff([]any{"10.1.0.0/16", "10.2.0.0/16"}, pool["prefixes"]); diff != "" {
			t.Error(diff)
		}
		path := "/v2.0/subnetpools/" + id(pool)
		cut := func(more object) object {
			t.Helper()
			network := c.network(alice, nil)
			all := object{"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
			for name, value := range more {
				all[name] = value
			}
			return object{"subnet": all}
		}
		for _, step := range []struct {
			more object
			want string
		}{
			{nil, "10.1.0.0/24"},
			{object{"cidr": "10.1.2.0/24"}, "10.1.2.0/24"},
			{nil, "10.1.1.0/24"},
			{nil, "10.1.3.0/24"},
			{object{"prefixlen": 20}, "10.1.16.0/20"},
			{object{"prefixlen": 16}, "10.2.0.0/16"},
		} {
			subnet := c.must(alice, "POST", "/v2.0/subnets", cut(step.more))
			if subnet["cidr"] != step.want || subnet["subnetpool_id"] != pool["id"] {
				t.Errorf("%v: %v of pool %v, want %s", step.more, subnet["cidr"], subnet["subnetpool_id"], step.want)
			}
		}
		c.refused(alice, "POST", "/v2.0/subnets", cut(object{"cidr": "10.1.0.0/25"}), 400, "SubnetAllocationError")
		c.refused(alice, "POST", "/v2.0/subnets", cut(object{"cidr": "10.7.0.0/24"}), 400, "SubnetAllocationError")
		c.refused(alice, "POST", "/v2.0/subnets", cut(object{"prefixlen": 16}), 400, "SubnetAllocationError")
		c.refused(alice, "POST", "/v2.0/subnets", cut(object{"prefixlen": 12}), 400, "MinPrefixSubnetAllocationError")
		c.refused(alice, "POST", "/v2.0/subnets", cut(object{"ip_version": 6}), 400, "HTTPBadRequest")
		c.refused(alice, "DELETE", path, nil, 400, "SubnetPoolDeleteError")
		c.refused(alice, "PUT", path+"/remove_prefixes", object{"prefixes": []string{"10.2.0.0/16"}}, 400, "IllegalSubnetPoolPrefixUpdate")
		c.must(alice, "PUT", path+"/add_prefixes", object{"prefixes": []string{"10.5.0.0/16"}})
		c.must(alice, "PUT", path+"/remove_prefixes", object{"prefixes": []string{"10.5.0.0/16"}})
		c.refused(bob, "GET", path, nil, 404, "SubnetPoolNotFound")
		c.refused(alice, "POST", "/v2.0/subnetpools", object{"subnetpool": object{"name": "o", "prefixes": []string{"10.0.0.0/8"}, "shared": true}},
			403, "PolicyNotAuthorized")
		c.refused(alice, "POST", "/v2.0/subnetpools", object{"subnetpool": object{"name": "o", "prefixes": []string{"10.0.0.0/8", "2001:db8::/32"}}},
			400, "PrefixVersionMismatch")

		wide := c.must(root, "POST", "/v2.0/subnetpools", object{"subnetpool": object{
			"name": "w", "prefixes": []string{"2001:db8::/48"}, "is_default": true, "shared": true, "default_quota": 2,
		}})
		network := c.network(alice, nil)
		for _, want := range []string{"2001:db8::/64", "2001:db8:0:1::/64"} {
			subnet := c.must(alice, "POST", "/v2.0/subnets", object{"subnet": object{
				"network_id": network["id"], "ip_version": 6, "use_default_subnetpool": true,
			}})
			if subnet["cidr"] != want || subnet["subnetpool_id"] != wide["id"] {
				t.Errorf("out of the default pool: %v, want %s", subnet, want)
			}
		}
		c.refused(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "ip_version": 6, "subnetpool_id": wide["id"]}},
			409, "SubnetPoolQuotaExceeded")
		c.refused(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "ip_version": 6, "cidr": "2001:db8:9::/64"}},
			400, "NetworkSubnetPoolAffinityError")
	})
}

// TestSubnetPoolAtTheSameTime cuts no range twice.
func TestSubnetPoolAtTheSameTime(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		pool := c.must(alice, "POST", "/v2.0/subnetpools", object{"subnetpool": object{"name": "o", "prefixes": []string{"10.0.0.0/8"}, "default_prefixlen": 24}})
		var mu sync.Mutex
		ranges := []string{}
		var tasks sync.WaitGroup
		for range 8 {
			network := c.network(alice, nil)
			tasks.Go(func() {
				_, answer := c.call(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}})
				subnet, _ := answer["subnet"].(object)
				mu.Lock()
				defer mu.Unlock()
				ranges = append(ranges, fmt.Sprint(subnet["cidr"]))
			})
		}
		tasks.Wait()
		slices.Sort(ranges)
		want := []string{}
		for i := range 8 {
			want = append(want, fmt.Sprintf("10.0.%d.0/24", i))
		}
		if diff := cmp.Diff(want, ranges); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDHCPOptions(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		option := func(name string, value any) object { return object{"opt_name": name, "opt_value": value} }
		port := c.port(alice, network, object{"extra_dhcp_opts": []object{option("mtu", "1400"), option("server-ip-address", "10.0.0.9")}})
		path := "/v2.0/ports/" + id(port)
		port = c.must(alice, "PUT", path, object{"port": object{"extra_dhcp_opts": []object{option("mtu", nil), option("bootfile-name", "x")}}})
		want := []any{
			object{"opt_name": "server-ip-address", "opt_value": "10.0.0.9", "ip_version": 4.0},
			object{"opt_name": "bootfile-name", "opt_value": "x", "ip_version": 4.0},
		}
		if diff := cmp.Diff(want, port["extra_dhcp_opts"]); diff != "" {
			t.Error(diff)
		}
		for _, wrong := range []any{"x", []object{{"opt_value": "x"}}, []object{{"opt_name": "a", "opt_value": "b", "ip_version": 5}}, []object{{"name": "a"}}} {
			c.refused(alice, "PUT", path, object{"port": object{"extra_dhcp_opts": wrong}}, 400, "HTTPBadRequest")
		}
	})
}

func TestUnknownSubnetIsNotFound(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		const unknown = "0e1ff0aa-0000-4000-8000-000000000000"
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		elsewhere := c.subnet(alice, c.network(alice, nil), "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{}})
		for subnet, want := range map[string]struct {
			status int
			kind   string
		}{unknown: {404, "SubnetNotFound"}, id(elsewhere): {400, "InvalidInput"}} {
			c.refused(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"], "subnet_id": subnet}}, want.status, want.kind)
			gateway := object{"router": object{"external_gateway_info": object{
				"network_id": outside["id"], "external_fixed_ips": []object{{"subnet_id": subnet}},
			}}}
			c.refused(alice, "POST", "/v2.0/routers", gateway, want.status, want.kind)
			c.refused(alice, "PUT", "/v2.0/routers/"+id(router), gateway, want.status, want.kind)
			c.refused(alice, "POST", "/v2.0/ports", object{"port": object{"network_id": outside["id"], "fixed_ips": []object{{"subnet_id": subnet}}}},
				want.status, want.kind)
		}
	})
}

// TestBindingProfile is a dictionary, whatever a client sends for an empty one.
func TestBindingProfile(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(root, nil)
		port := c.port(root, network, object{"binding:profile": object{"a": "b"}})
		for _, empty := range []any{nil, object{}} {
			port = c.must(root, "PUT", "/v2.0/ports/"+id(port), object{"port": object{"binding:profile": empty}})
			if diff := cmp.Diff(object{}, port["binding:profile"]); diff != "" {
				t.Errorf("after %v: %s", empty, diff)
			}
		}
	})
}

// TestExtensionsAreThere lists what works, and answers clearly for what does not.
func TestExtensionsAreThere(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		_, answer := c.call(alice, "GET", "/v2.0/extensions", nil)
		listed := map[string]bool{}
		for _, one := range answer["extensions"].([]any) {
			listed[one.(object)["alias"].(string)] = true
		}
		for _, alias := range []string{"quotas", "revision-if-match", "extraroute", "extraroute-atomic", "subnet_allocation", "extra_dhcp_opt", "standard-attr-tag"} {
			if !listed[alias] {
				t.Errorf("%s is not listed", alias)
			}
		}
		for alias, path := range map[string]string{
			"trunk": "trunks", "rbac-policies": "rbac-policies", "address-group": "address-groups", "address-scope": "address-scopes",
			"segment": "segments", "network-ip-availability": "network-ip-availabilities",
		} {
			if listed[alias] {
				t.Errorf("%s is listed, and not offered", alias)
			}
			status, answer := c.call(alice, "GET", "/v2.0/"+path, nil)
			if message := fmt.Sprint(answer["NeutronError"].(object)["message"]); status != 404 || !strings.Contains(message, "are not offered here") {
				t.Errorf("%s: %d %s", path, status, message)
			}
		}
	})
}

// TestGatewayStaysWhereItIs has a router keep its external address, and with it its floating IPs, when a client writes back what
// it has read.
func TestGatewayStaysWhereItIs(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		inside := c.network(alice, nil)
		subnet := c.subnet(alice, inside, "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		path := "/v2.0/routers/" + id(router)
		c.must(alice, "PUT", path+"/add_router_interface", object{"subnet_id": subnet["id"]})
		port := c.port(alice, inside, nil)
		c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"], "port_id": port["id"]}})

		gateway := router["external_gateway_info"].(object)
		had := gateway["external_fixed_ips"].([]any)
		also := object{"subnet_id": had[0].(object)["subnet_id"]}
		for _, fixed := range [][]any{had, append(slices.Clone(had), also)} {
			now := c.must(root, "PUT", path, object{"router": object{"external_gateway_info": object{
				"network_id": outside["id"], "enable_snat": true, "external_fixed_ips": fixed,
			}}})
			if diff := cmp.Diff(gateway, now["external_gateway_info"]); diff != "" {
				t.Errorf("after %v: %s", fixed, diff)
			}
		}
		c.refused(root, "PUT", path, object{"router": object{"external_gateway_info": object{
			"network_id": outside["id"], "external_fixed_ips": []object{{"ip_address": "198.51.100.77"}},
		}}}, 409, "RouterExternalGatewayInUseByFloatingIp")
	})
}

// TestTextsThatNoDatabaseKeeps sends NUL characters, and bytes that are no text, to all that reads a body.
func TestTextsThatNoDatabaseKeeps(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		wants := func(method, path, body, field string) {
			t.Helper()
			status, answer := c.call(alice, method, path, body)
			fault, _ := answer["NeutronError"].(object)
			message, _ := fault["message"].(string)
			if status != http.StatusBadRequest || !strings.HasPrefix(message, "Invalid input for field '"+field+"': the text ") {
				t.Errorf("%s %s: %d %v", method, path, status, answer)
			}
		}
		for kind, path := range c.everyKind() {
			for _, wrong := range []string{`a\u0000`, "\xff"} {
				wants("PUT", path, fmt.Sprintf(`{"%s": {"description": "%s"}}`, kind, wrong), kind+".description")
				wants("POST", path[:strings.LastIndex(path, "/")], fmt.Sprintf(`{"%s": {"description": "%s"}}`, kind, wrong), kind+".description")
				wants("PUT", path+"/tags", fmt.Sprintf(`{"tags": ["%s"]}`, wrong), "tags")
			}
			for action, kindOf := range map[string]string{"add_router_interface": "router", "add_extraroutes": "router", "add_prefixes": "subnetpool"} {
				if kind == kindOf {
					wants("PUT", path+"/"+action, `{"x": "\u0000"}`, "x")
				}
			}
		}
		wants("PUT", "/v2.0/quotas/p1", `{"quota": {"port": "\u0000"}}`, "quota.port")
	})
}

// TestUpdatesThatChangeNothing leave the revision as it is, whether they name nothing or what is there already.
func TestUpdatesThatChangeNothing(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		paths := c.everyKind()
		for kind, path := range paths {
			c.must(alice, "PUT", path, object{kind: object{"description": "d"}})
		}
		network := c.must(alice, "GET", paths["network"], nil)
		for kind, path := range paths {
			before := c.must(alice, "GET", path, nil)
			for _, same := range []object{{}, {"description": "d"}} {
				answer := c.must(alice, "PUT", path, object{kind: same})
				if diff := cmp.Diff(before, answer); diff != "" {
					t.Errorf("%s with %v (-before +after)\n%s", kind, same, diff)
				}
			}
		}
		c.must(alice, "PUT", paths["subnet"], object{"subnet": object{"enable_dhcp": true, "host_routes": []object{}}})
		if after := c.must(alice, "GET", paths["network"], nil); after["revision_number"] != network["revision_number"] {
			t.Errorf("the network's revision is %v after an update of its subnet that changed nothing, %v before it",
				after["revision_number"], network["revision_number"])
		}
		c.must(alice, "PUT", paths["subnet"], object{"subnet": object{"enable_dhcp": false}})
		if after := c.must(alice, "GET", paths["network"], nil); after["revision_number"] == network["revision_number"] {
			t.Error("the network's revision does not follow its subnet")
		}
	})
}
