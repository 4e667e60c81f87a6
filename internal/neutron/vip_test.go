package neutron_test

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"poise/internal/control"
	"poise/internal/lb"
	"poise/internal/neutron"
)

func TestVIPRules(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		empty := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/28")
		other := c.subnet(alice, network, "10.0.1.0/28")
		two := c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.8"}, {"ip_address": "10.0.1.8"}}})
		server := c.port(alice, network, object{"device_id": "server"})
		for _, one := range []struct {
			name string
			req  lb.VIPRequest
			code lb.Code
			want string // the message, or the address
		}{
			{"subnet", lb.VIPRequest{SubnetID: id(subnet)}, 0, "10.0.0.3"},
			{"subnet and address", lb.VIPRequest{SubnetID: id(subnet), Address: addr("10.0.0.9")}, 0, "10.0.0.9"},
			{
				"address in use",
				lb.VIPRequest{SubnetID: id(subnet), Address: addr("10.0.0.9")},
				lb.Conflict,
				"The VIP IP address is already in use: 10.0.0.9",
			},
			{
				"address outside",
				lb.VIPRequest{SubnetID: id(subnet), Address: addr("10.0.1.9")},
				lb.Invalid,
				"Validation failure: vip_address 10.0.1.9 is not an address of subnet " + id(subnet) + ".",
			},
			{"network", lb.VIPRequest{NetworkID: id(network)}, 0, "10.0.0.4"},
			{"network and address", lb.VIPRequest{NetworkID: id(network), Address: addr("10.0.1.5")}, 0, "10.0.1.5"},
			{"network and subnet", lb.VIPRequest{NetworkID: id(network), SubnetID: id(other)}, 0, "10.0.1.2"},
			{
				"network without the address",
				lb.VIPRequest{NetworkID: id(network), Address: addr("10.3.1.5")},
				lb.Invalid,
				"Validation failure: Supplied network does not contain a subnet for VIP address specified.",
			},
			{
				"network without subnets",
				lb.VIPRequest{NetworkID: id(empty)},
				lb.Invalid,
				"Validation failure: Supplied network does not contain a subnet.",
			},
			{"no subnet", lb.VIPRequest{SubnetID: "x"}, lb.Invalid, "Subnet x not found."},
			{"no network", lb.VIPRequest{NetworkID: "x"}, lb.Invalid, "Network x not found."},
			{"no port", lb.VIPRequest{PortID: "x"}, lb.Invalid, "Port x not found."},
			{
				"port of a server",
				lb.VIPRequest{PortID: id(server)},
				lb.Invalid,
				"Validation failure: Port " + id(server) + " is already used by device server ",
			},
			{
				"port with two addresses",
				lb.VIPRequest{PortID: id(two)},
				lb.Invalid,
				"Validation failure: VIP port's subnet could not be determined. Please specify either a VIP subnet or address.",
			},
			{
				"port without the address",
				lb.VIPRequest{PortID: id(two), Address: addr("10.0.0.10")},
				lb.Invalid,
				"Validation failure: Specified VIP address not found on the specified VIP port.",
			},
			{
				"port without the subnet",
				lb.VIPRequest{PortID: id(two), SubnetID: "x"},
				lb.Invalid,
				"Validation failure: No VIP address found on the specified VIP port within the specified subnet.",
			},
			{"port and subnet", lb.VIPRequest{PortID: id(two), SubnetID: id(other)}, 0, "10.0.1.8"},
		} {
			one.req.LoadBalancerID, one.req.ProjectID = uuid.NewString(), "p1"
			vip, err := c.service.CreateVIP(t.Context(), alice, one.req)
			got := vip.Address.String()
			if err != nil {
				got = err.Error()
			}
			if got != one.want || lb.CodeOf(err) != one.code {
				t.Errorf("%s: got %q (code %d), want %q (code %d)", one.name, got, lb.CodeOf(err), one.want, one.code)
			}
		}
		if _, err := c.service.CreateVIP(t.Context(), bob, lb.VIPRequest{LoadBalancerID: "x", SubnetID: id(subnet)}); lb.CodeOf(err) != lb.Invalid {
			t.Errorf("VIP on another project's subnet: %v", err)
		}
		if err := c.service.SubnetVisible(t.Context(), bob, id(subnet)); lb.CodeOf(err) != lb.Invalid {
			t.Errorf("another project's subnet is visible: %v", err)
		}
		if err := c.service.SubnetVisible(t.Context(), alice, id(subnet)); err != nil {
			t.Error(err)
		}
	})
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestVIPLivesWithItsLoadBalancer(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, object{"mtu": 1400})
		subnet := c.subnet(alice, network, "10.0.0.0/24")
		supplied := c.port(alice, network, nil)
		made, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "one", ProjectID: "p1", SubnetID: id(subnet)})
		if err != nil {
			t.Fatal(err)
		}
		taken, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "two", ProjectID: "p1", PortID: id(supplied)})
		if err != nil {
			t.Fatal(err)
		}
		if !made.OwnPort || taken.OwnPort {
			t.Errorf("own port: made %v, supplied %v", made.OwnPort, taken.OwnPort)
		}
		port := c.must(alice, "GET", "/v2.0/ports/"+made.PortID, nil)
		for name, want := range (object{"name": "octavia-lb-one", "device_id": "lb-one", "device_owner": "Octavia", "project_id": "p1"}) {
			if port[name] != want {
				t.Errorf("%s of the port: got %v, want %v", name, port[name], want)
			}
		}
		plug, err := c.service.Attachment(t.Context(), made.PortID)
		if err != nil {
			t.Fatal(err)
		}
		if plug.MTU != 1400 || plug.Addresses[0].String() != "10.0.0.3/24" || plug.Gateways[0].String() != "10.0.0.1" || plug.MAC.String() != port["mac_address"] {
			t.Errorf("attachment: %+v", plug)
		}
		owners, err := c.service.VIPOwners(t.Context())
		if diff := cmp.Diff([]string{"one", "two"}, owners); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
		for range 2 { // the second time there is nothing left
			for _, owner := range owners {
				if err := c.service.ReleaseVIP(t.Context(), owner); err != nil {
					t.Error(err)
				}
			}
		}
		c.refused(alice, "GET", "/v2.0/ports/"+made.PortID, nil, 404, "PortNotFound")
		if freed := c.must(alice, "GET", "/v2.0/ports/"+id(supplied), nil); freed["device_id"] != "" || freed["device_owner"] != "" {
			t.Errorf("freed port: %v", freed)
		}
	})
}

// A port that only looks like a load balancer's is not touched.
func TestReleaseLeavesPretendersAlone(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		port := c.port(bob, c.network(bob, nil), object{"device_id": "lb-one", "device_owner": "Octavia", "name": "octavia-lb-one"})
		if err := c.service.ReleaseVIP(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		c.must(bob, "GET", "/v2.0/ports/"+id(port), nil)
	})
}

func TestAttachmentChangesAreAnnounced(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		inside := c.network(alice, nil)
		subnet := c.subnet(alice, inside, "10.0.0.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		c.must(alice, "PUT", "/v2.0/routers/"+id(router)+"/add_router_interface", object{"subnet_id": subnet["id"]})
		vip, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "one", ProjectID: "p1", SubnetID: id(subnet)})
		if err != nil {
			t.Fatal(err)
		}
		told := make(chan string, 10)
		c.service.OnAttachmentChange(func(device string) { told <- device })

		_, applied := c.fabric.last()
		c.must(alice, "PUT", "/v2.0/ports/"+vip.PortID, object{"port": object{"name": "renamed"}})
		if _, now := c.fabric.last(); now != applied || len(told) != 0 {
			t.Errorf("a new name is none of the fabric's business: %d attempts, %d calls", now-applied, len(told))
		}
		floating := c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"], "port_id": vip.PortID}})
		c.must(alice, "PUT", "/v2.0/floatingips/"+id(floating), object{"floatingip": object{"port_id": nil}})
		c.must(alice, "PUT", "/v2.0/ports/"+vip.PortID, object{"port": object{"fixed_ips": []object{{"ip_address": "10.0.0.99"}}}})
		for _, what := range []string{"associated", "disassociated", "readdressed"} {
			if device := <-told; device != "lb-one" {
				t.Errorf("%s: %q was told", what, device)
			}
		}
	})
}

// The door has the shape that the control plane asks for.
var _ control.Network = (*neutron.Service)(nil)

// A load balancer that gets the address of one that was just deleted has its MAC address too.
func TestVIPAddressKeepsItsMAC(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/28")
		var macs []string
		for range 2 {
			req := lb.VIPRequest{LoadBalancerID: uuid.NewString(), ProjectID: alice.ProjectID, SubnetID: id(subnet), Address: addr("10.0.0.9")}
			vip, err := c.service.CreateVIP(t.Context(), alice, req)
			if err != nil {
				t.Fatal(err)
			}
			port, err := c.service.Attachment(t.Context(), vip.PortID)
			if err != nil {
				t.Fatal(err)
			}
			macs = append(macs, port.MAC.String())
			if err := c.service.ReleaseVIP(t.Context(), req.LoadBalancerID); err != nil {
				t.Fatal(err)
			}
		}
		if macs[0] != macs[1] {
			t.Errorf("MAC addresses %v differ", macs)
		}
	})
}

// No load balancer gets the address of a router, a server, another load balancer or a floating IP, nor one where a router
// will be.
func TestVIPAddressOfSomebodyElse(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		public := c.subnet(root, outside, "198.51.100.0/24")
		network := c.network(alice, nil)
		subnet, routed := c.subnet(alice, network, "10.0.0.0/24"), c.subnet(alice, network, "10.0.1.0/24")
		router := c.must(alice, "POST", "/v2.0/routers", object{"router": object{"external_gateway_info": object{"network_id": outside["id"]}}})
		c.must(alice, "PUT", "/v2.0/routers/"+id(router)+"/add_router_interface", object{"subnet_id": routed["id"]})
		leg := router["external_gateway_info"].(object)["external_fixed_ips"].([]any)[0].(object)["ip_address"].(string)
		floating := c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}})
		if _, err := c.service.MakeServerPort(t.Context(), alice, uuid.NewString(), "p1", id(network), addr("10.0.0.7")); err != nil {
			t.Fatal(err)
		}
		appliance := c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.1"}}})
		for name, req := range map[string]lb.VIPRequest{
			"a server":                      {SubnetID: id(subnet), Address: addr("10.0.0.7")},
			"the gateway, of a router":      {SubnetID: id(routed), Address: addr("10.0.1.1")},
			"the gateway, of a port":        {SubnetID: id(subnet), Address: addr("10.0.0.1")},
			"the gateway's own port":        {PortID: id(appliance)},
			"the host":                      {SubnetID: id(public), Address: addr("198.51.100.1")},
			"a router's leg to the outside": {SubnetID: id(public), Address: addr(leg)},
			"a floating IP":                 {SubnetID: id(public), Address: addr(floating["floating_ip_address"].(string))},
			"further, a server": {SubnetID: id(routed), Additional: []lb.AdditionalVIP{
				{SubnetID: id(subnet), Address: addr("10.0.0.7")},
			}},
		} {
			req.LoadBalancerID, req.ProjectID = uuid.NewString(), "p1"
			if _, err := c.service.CreateVIP(t.Context(), alice, req); lb.CodeOf(err) != lb.Conflict {
				t.Errorf("%s: %v", name, err)
			}
		}
		c.must(alice, "DELETE", "/v2.0/ports/"+id(appliance), nil)
		if _, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{
			LoadBalancerID: uuid.NewString(), ProjectID: "p1", SubnetID: id(subnet), Address: addr("10.0.0.1"),
		}); lb.CodeOf(err) != lb.Conflict {
			t.Errorf("the gateway, where nobody is yet: %v", err)
		}
		c.refused(root, "POST", "/v2.0/ports", object{"port": object{
			"network_id": outside["id"], "fixed_ips": []object{{"ip_address": "198.51.100.1"}},
		}}, 409, "IpAddressInUse")
	})
}

// Filters compare addresses, not how they are written; a floating IP leads to no IPv6 address.
func TestAddressesOfBothVersions(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/24")
		six := c.must(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "cidr": "fd00::/64", "ip_version": 6}})
		port := c.port(alice, network, object{"fixed_ips": []object{{"ip_address": "10.0.0.9"}, {"ip_address": "fd00::9"}}})
		for _, one := range []struct{ plural, query, want string }{
			{"ports", "?fixed_ips=ip_address%3DFD00:0::0009", id(port)},
			{"ports", "?fixed_ips=ip_address%3Dfd00::9", id(port)},
			{"subnets", "?gateway_ip=fd00:0:0::1&cidr=fd00:0::%2F64", id(six)},
		} {
			if diff := cmp.Diff([]string{one.want}, c.ids(alice, one.plural, one.query)); diff != "" {
				t.Errorf("%s%s (-want +got)\n%s", one.plural, one.query, diff)
			}
		}
		c.refused(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{
			"floating_network_id": outside["id"], "port_id": port["id"], "fixed_ip_address": "fd00::9",
		}}, 400, "BadRequest")
	})
}
