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
			topology.Routers[0].NextHop.String() != "198.51.100.1" {
			t.Errorf("topology: %+v", topology)
		}
	})
}
