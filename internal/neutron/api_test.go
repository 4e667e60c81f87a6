package neutron_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The guide's way: an external network, a tenant network behind a router, and a floating IP on a port.
func TestFloatingIPReachesAPortThroughARouter(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"name": "ext-net", "router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		inside := c.network(alice, object{"name": "private"})
		subnet := c.subnet(alice, inside, "10.15.25.0/24")
		port := c.port(alice, inside, nil)

		floating := c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}})
		want := object{"status": "DOWN", "floating_ip_address": "198.51.100.2", "port_id": nil, "revision_number": 0.0, "port_details": nil}
		for name, value := range want {
			if diff := cmp.Diff(value, floating[name]); diff != "" {
				t.Errorf("new floating IP, %s: %s", name, diff)
			}
		}
		path := "/v2.0/floatingips/" + id(floating)
		associate := object{"floatingip": object{"port_id": port["id"]}}
		c.refused(alice, "PUT", path, associate, 404, "ExternalGatewayForFloatingIPNotFound")

		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		c.must(alice, "PUT", "/v2.0/routers/"+id(router)+"/add_router_interface", object{"subnet_id": subnet["id"]})
		floating = c.must(alice, "PUT", path, associate)
		want = object{"status": "ACTIVE", "fixed_ip_address": "10.15.25.2", "port_id": port["id"], "router_id": router["id"], "revision_number": 1.0}
		for name, value := range want {
			if diff := cmp.Diff(value, floating[name]); diff != "" {
				t.Errorf("associated floating IP, %s: %s", name, diff)
			}
		}
		topology, _ := c.fabric.last()
		if len(topology.FloatingIPs) != 1 || topology.FloatingIPs[0].RouterID != id(router) || len(topology.Routers[0].Interfaces) != 1 ||
			topology.Routers[0].NextHops[0].String() != "198.51.100.1" {
			t.Errorf("topology: %+v", topology)
		}
	})
}

func TestProjectsDoNotSeeEachOther(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		outsideSubnet := c.subnet(root, outside, "198.51.100.0/24")
		private := c.network(alice, nil)
		paths := map[string]string{}
		paths["networks"] = id(private)
		paths["subnets"] = id(c.subnet(alice, private, "10.0.0.0/24"))
		paths["ports"] = id(c.port(alice, private, nil))
		paths["routers"] = id(c.must(alice, "POST", "/v2.0/routers", object{"router": object{}}))
		paths["floatingips"] = id(c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}}))
		for plural, hidden := range paths {
			for _, method := range []string{"GET", "DELETE"} {
				if status, answer := c.call(bob, method, "/v2.0/"+plural+"/"+hidden, nil); status != 404 {
					t.Errorf("%s %s of another project: %d %v", method, plural, status, answer)
				}
			}
			if got := c.ids(bob, plural, "?id="+hidden); len(got) != 0 {
				t.Errorf("list of %s shows another project's", plural)
			}
			if got := c.ids(root, plural, "?id="+hidden); len(got) != 1 {
				t.Errorf("the administrator does not see %s", plural)
			}
		}
		c.must(bob, "GET", "/v2.0/networks/"+id(outside), nil)
		c.must(bob, "GET", "/v2.0/subnets/"+id(outsideSubnet), nil)
		if got := c.ids(bob, "ports", ""); len(got) != 0 {
			t.Errorf("ports of nobody are shown: %v", got)
		}
		c.refused(bob, "POST", "/v2.0/ports", object{"port": object{"network_id": private["id"]}}, 404, "NetworkNotFound")
		c.refused(bob, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": outside["id"], "cidr": "10.9.0.0/24", "ip_version": 4}},
			403, "PolicyNotAuthorized")
		c.refused(bob, "POST", "/v2.0/ports", object{"port": object{"network_id": outside["id"], "fixed_ips": []object{{"ip_address": "198.51.100.9"}}}},
			403, "PolicyNotAuthorized")
	})
}

func TestRefusals(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, object{"name": "n"})
		subnet := c.subnet(alice, network, "10.0.0.0/29")
		c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.5"}}})
		fixed := func(entry object) object {
			return object{"port": object{"network_id": network["id"], "fixed_ips": []object{entry}}}
		}
		ofSubnet := func(more object) object {
			all := object{"network_id": network["id"], "ip_version": 4}
			for name, value := range more {
				all[name] = value
			}
			return object{"subnet": all}
		}
		for _, one := range []struct {
			name         string
			who          string
			method, path string
			body         any
			status       int
			kind         string
		}{
			{"no JSON", "alice", "POST", "/v2.0/networks", "{", 400, "HTTPBadRequest"},
			{"wrong envelope", "alice", "POST", "/v2.0/networks", object{"net": object{}}, 400, "HTTPBadRequest"},
			{"unknown attribute", "alice", "POST", "/v2.0/networks", object{"network": object{"x": 1}}, 400, "HTTPBadRequest"},
			{"read-only attribute", "alice", "POST", "/v2.0/networks", object{"network": object{"status": "UP"}}, 400, "HTTPBadRequest"},
			{"wrong type", "alice", "POST", "/v2.0/networks", object{"network": object{"name": 5}}, 400, "HTTPBadRequest"},
			{"long name", "alice", "POST", "/v2.0/networks", object{"network": object{"name": string(make([]byte, 256))}}, 400, "HTTPBadRequest"},
			{"external by a member", "alice", "POST", "/v2.0/networks", object{"network": object{"router:external": true}}, 403, "PolicyNotAuthorized"},
			{"shared by a member", "alice", "PUT", "/v2.0/networks/" + id(network), object{"network": object{"shared": true}}, 403, "PolicyNotAuthorized"},
			{"foreign project", "alice", "POST", "/v2.0/networks", object{"network": object{"project_id": "p2"}}, 403, "PolicyNotAuthorized"},
			{"reader writes", "eve", "PUT", "/v2.0/networks/" + id(network), object{"network": object{"name": "m"}}, 403, "PolicyNotAuthorized"},
			{"reader creates", "eve", "POST", "/v2.0/networks", object{"network": object{"name": "m"}}, 403, "PolicyNotAuthorized"},
			{"overlap", "alice", "POST", "/v2.0/subnets", ofSubnet(object{"cidr": "10.0.0.0/24"}), 400, "InvalidInput"},
			{"range the fabric refuses", "alice", "POST", "/v2.0/subnets", ofSubnet(object{"cidr": "203.0.113.0/25"}), 400, "InvalidInput"},
			{"no range", "alice", "POST", "/v2.0/subnets", ofSubnet(object{"cidr": "10.0.0.0/33"}), 400, "HTTPBadRequest"},
			{"other family", "alice", "POST", "/v2.0/subnets", ofSubnet(object{"cidr": "2001:db8::/64"}), 400, "HTTPBadRequest"},
			{"gateway outside", "alice", "POST", "/v2.0/subnets", ofSubnet(object{"cidr": "10.1.0.0/24", "gateway_ip": "10.2.0.1"}), 400, "HTTPBadRequest"},
			{
				"pool outside", "alice", "POST", "/v2.0/subnets",
				ofSubnet(object{"cidr": "10.1.0.0/24", "allocation_pools": []object{{"start": "10.1.0.9", "end": "10.1.1.9"}}}), 400, "OutOfBoundsAllocationPool",
			},
			{
				"gateway in pool", "alice", "POST", "/v2.0/subnets",
				ofSubnet(object{"cidr": "10.1.0.0/24", "allocation_pools": []object{{"start": "10.1.0.1", "end": "10.1.0.9"}}}), 409, "GatewayConflictWithAllocationPools",
			},
			{"address in use", "alice", "POST", "/v2.0/ports", fixed(object{"ip_address": "10.0.0.5"}), 409, "IpAddressInUse"},
			{"broadcast address", "alice", "POST", "/v2.0/ports", fixed(object{"subnet_id": subnet["id"], "ip_address": "10.0.0.7"}), 400, "InvalidIpForSubnet"},
			{"address elsewhere", "alice", "POST", "/v2.0/ports", fixed(object{"ip_address": "10.7.0.5"}), 400, "InvalidIpForNetwork"},
			{"stateless security group", "alice", "POST", "/v2.0/security-groups", object{"security_group": object{"stateful": false}}, 501, "NotImplementedError"},
			{"no route", "alice", "GET", "/v2.0/none", nil, 404, "HTTPNotFound"},
			{"no method", "alice", "PATCH", "/v2.0/networks", nil, 405, "HTTPMethodNotAllowed"},
			{"network in use", "alice", "DELETE", "/v2.0/networks/" + id(network), nil, 409, "NetworkInUse"},
			{"subnet in use", "alice", "DELETE", "/v2.0/subnets/" + id(subnet), nil, 409, "SubnetInUse"},
			{"no external network", "alice", "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": network["id"]}}, 400, "BadRequest"},
			{"bad limit", "alice", "GET", "/v2.0/networks?limit=x", nil, 400, "HTTPBadRequest"},
			{"bad marker", "alice", "GET", "/v2.0/networks?marker=x", nil, 400, "HTTPBadRequest"},
			{"bad sort key", "alice", "GET", "/v2.0/networks?sort_key=x", nil, 400, "HTTPBadRequest"},
		} {
			t.Run(one.name, func(t *testing.T) {
				inner := *c
				inner.t = t
				inner.refused(people[one.who], one.method, one.path, one.body, one.status, one.kind)
			})
		}
	})
}

func TestListsFilterSortAndPage(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		byName := map[string]string{}
		for _, name := range []string{"a", "b", "c", "d"} {
			n := c.network(alice, object{"name": name, "mtu": 1400, "admin_state_up": name != "d"})
			byName[id(n)] = name
		}
		c.must(alice, "PUT", "/v2.0/networks/"+idOf(byName, "a")+"/tags", object{"tags": []string{"red", "blue"}})
		for query, want := range map[string]string{
			"?sort_key=name":                                                       "abcd",
			"?sort_key=name&sort_dir=desc":                                         "dcba",
			"?sort_key=name&name=a&name=c":                                         "ac",
			"?sort_key=name&admin_state_up=True":                                   "abc",
			"?sort_key=name&mtu=1500":                                              "",
			"?sort_key=name&limit=2":                                               "ab",
			"?sort_key=name&limit=2&marker=" + idOf(byName, "b"):                   "cd",
			"?sort_key=name&limit=1&page_reverse=True&marker=" + idOf(byName, "c"): "b",
			"?sort_key=name&tags=red,blue":                                         "a",
			"?sort_key=name&not-tags-any=red":                                      "bcd",
			"?sort_key=mtu&sort_key=name&sort_dir=asc&sort_dir=desc":               "dcba",
			"?name=%00": "",
		} {
			got := ""
			for _, one := range c.ids(alice, "networks", query) {
				got += byName[one]
			}
			if got != want {
				t.Errorf("%s: got %q, want %q", query, got, want)
			}
		}
		_, answer := c.call(alice, "GET", "/v2.0/networks?sort_key=name&limit=2&fields=name", nil)
		if diff := cmp.Diff([]any{object{"name": "a"}, object{"name": "b"}}, answer["networks"]); diff != "" {
			t.Error(diff)
		}
		links, _ := answer["networks_links"].([]any)
		if len(links) != 1 || links[0].(object)["rel"] != "next" {
			t.Errorf("links: %v", links)
		}
	})
}

func idOf(names map[string]string, name string) string {
	for id, one := range names {
		if one == name {
			return id
		}
	}
	return ""
}

func TestPortKeepsTheAddressesThatAreStillWanted(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/24")
		port := c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.9"}, {"subnet_id": subnet["id"]}}})
		path := "/v2.0/ports/" + id(port)
		for _, step := range []struct {
			name   string
			wanted []object
			want   []any
		}{
			{"the same", []object{{"ip_address": "10.0.0.9"}, {"subnet_id": subnet["id"]}}, addresses(subnet, "10.0.0.2", "10.0.0.9")},
			{"one less", []object{{"ip_address": "10.0.0.9", "subnet_id": subnet["id"]}}, addresses(subnet, "10.0.0.9")},
			{"another", []object{{"ip_address": "10.0.0.77"}}, addresses(subnet, "10.0.0.77")},
			{"none", []object{}, []any{}},
			{"the next one, not one given back", []object{{"subnet_id": subnet["id"]}}, addresses(subnet, "10.0.0.3")},
		} {
			port = c.must(alice, "PUT", path, object{"port": object{"fixed_ips": step.wanted}})
			if diff := cmp.Diff(step.want, port["fixed_ips"]); diff != "" {
				t.Errorf("%s: %s", step.name, diff)
			}
		}
	})
}

func addresses(subnet object, texts ...string) []any {
	list := []any{}
	for _, text := range texts {
		list = append(list, object{"subnet_id": subnet["id"], "ip_address": text})
	}
	return list
}

func TestDeletionKeepsWhatIsInUse(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		inside := c.network(alice, nil)
		subnet := c.subnet(alice, inside, "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		path := "/v2.0/routers/" + id(router)
		leg := c.must(alice, "PUT", path+"/add_router_interface", object{"subnet_id": subnet["id"]})
		port := c.port(alice, inside, nil)
		floating := c.must(alice, "POST", "/v2.0/floatingips",
			object{"floatingip": object{"floating_network_id": outside["id"], "port_id": port["id"]}})

		c.refused(alice, "DELETE", path, nil, 409, "RouterInUse")
		c.refused(alice, "DELETE", "/v2.0/ports/"+leg["port_id"].(string), nil, 409, "L3PortInUse")
		c.refused(alice, "PUT", path+"/remove_router_interface", object{"subnet_id": subnet["id"]}, 409, "RouterInterfaceInUseByFloatingIP")
		c.refused(alice, "PUT", path, object{"router": object{"external_gateway_info": nil}}, 409, "RouterExternalGatewayInUseByFloatingIp")
		c.refused(alice, "PUT", path+"/add_router_interface", object{"subnet_id": subnet["id"]}, 400, "BadRequest")
		c.refused(alice, "PUT", "/v2.0/subnets/"+id(subnet), object{"subnet": object{"gateway_ip": nil}}, 409, "GatewayIpInUse")
		c.refused(root, "PUT", "/v2.0/networks/"+id(outside), object{"network": object{"router:external": false}}, 409, "ExternalNetworkInUse")

		c.must(alice, "DELETE", "/v2.0/ports/"+id(port), nil)
		floating = c.must(alice, "GET", "/v2.0/floatingips/"+id(floating), nil)
		if floating["port_id"] != nil || floating["status"] != "DOWN" {
			t.Errorf("floating IP after its port is gone: %v", floating)
		}
		c.must(alice, "DELETE", "/v2.0/floatingips/"+id(floating), nil)
		c.must(alice, "PUT", path+"/remove_router_interface", object{"port_id": leg["port_id"]})
		c.must(alice, "DELETE", path, nil)
		c.must(alice, "DELETE", "/v2.0/networks/"+id(inside), nil)
		c.must(root, "DELETE", "/v2.0/networks/"+id(outside), nil)
		if topology, _ := c.fabric.last(); len(topology.Networks)+len(topology.Routers)+len(topology.FloatingIPs) != 0 {
			t.Errorf("left in the fabric: %+v", topology)
		}
	})
}
