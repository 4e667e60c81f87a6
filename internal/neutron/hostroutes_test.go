package neutron_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
)

// The host routes of a subnet are those of its load balancers' and servers' ports: at once, and when they change. Those whose
// next hop is nowhere in the subnet are shown and lead nowhere.
func TestHostRoutes(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		via := func(pairs ...string) object {
			routes := []object{}
			for _, pair := range pairs {
				destination, hop, _ := strings.Cut(pair, " ")
				routes = append(routes, object{"destination": destination, "nexthop": hop})
			}
			return object{"subnet": object{"host_routes": routes}}
		}
		subnet := c.must(alice, "POST", "/v2.0/subnets", object{"subnet": object{
			"network_id": network["id"], "cidr": "10.0.0.0/24", "ip_version": 4, "gateway_ip": nil,
			"host_routes": []object{{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}},
		}})
		vip, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "one", ProjectID: "p1", SubnetID: id(subnet)})
		if err != nil {
			t.Fatal(err)
		}
		serverPort, err := c.service.MakeServerPort(t.Context(), alice, "server", "p1", id(network), addr("10.0.0.9"))
		if err != nil {
			t.Fatal(err)
		}
		ways := func(portID, want string) {
			t.Helper()
			plug, err := c.service.Attachment(t.Context(), portID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, fmt.Sprint(plug.Gateways, plug.Routes)); diff != "" {
				t.Errorf("gateways and routes (-want +got)\n%s", diff)
			}
		}
		told := make(chan string, 10)
		c.service.OnAttachmentChange(func(device string) { told <- device })
		set := func(body object) {
			t.Helper()
			c.must(alice, "PUT", "/v2.0/subnets/"+id(subnet), body)
			devices := map[string]bool{<-told: true, <-told: true}
			if !devices["lb-one"] || !devices["server"] {
				t.Errorf("told were %v", devices)
			}
		}
		ways(vip.PortID, "[] [{10.9.0.0/16 10.0.0.9}]")
		ways(serverPort, "[] []") // which is the next hop itself
		set(via("10.9.0.0/16 10.0.0.8", "10.8.0.0/16 10.0.1.1", "10.7.0.0/16 10.0.0.255", "10.0.0.0/28 10.0.0.8", "10.0.0.0/24 10.0.0.8", "128.0.0.0/1 10.0.0.8"))
		ways(vip.PortID, "[] [{10.9.0.0/16 10.0.0.8} {128.0.0.0/1 10.0.0.8}]")
		ways(serverPort, "[] [{10.9.0.0/16 10.0.0.8} {128.0.0.0/1 10.0.0.8}]")
		set(via("0.0.0.0/0 10.0.0.9"))
		ways(vip.PortID, "[10.0.0.9] []")
		ways(serverPort, "[] []")
		set(object{"subnet": object{
			"gateway_ip": "10.0.0.254", "allocation_pools": []object{{"start": "10.0.0.2", "end": "10.0.0.200"}},
		}})
		ways(vip.PortID, "[10.0.0.254] []")
		set(via())
		ways(vip.PortID, "[10.0.0.254] []")
		c.must(alice, "PUT", "/v2.0/subnets/"+id(subnet), object{"subnet": object{"name": "renamed"}})
		if len(told) > 0 {
			t.Errorf("%s was told of a name", <-told)
		}

		for name, wrong := range map[string]object{
			"bits behind the prefix": via("10.9.0.1/16 10.0.0.9"), "other IP version": via("fd00::/8 10.0.0.9"),
			"next hop of the other": via("10.9.0.0/16 fd00::9"), "twice": via("10.9.0.0/16 10.0.0.9", "10.9.0.0/16 10.0.0.9"),
			"metadata": via("169.254.169.254/32 10.0.0.9"), "link-local": via("169.254.0.0/16 10.0.0.9"),
		} {
			t.Run(name, func(t *testing.T) {
				c.refused(alice, "PUT", "/v2.0/subnets/"+id(subnet), wrong, 400, "HTTPBadRequest")
			})
		}
		six := object{
			"network_id": network["id"], "cidr": "fd00:1::/64", "ip_version": 6,
			"host_routes": []object{{"destination": "fd00:ec2::254/128", "nexthop": "fd00:1::9"}},
		}
		c.refused(alice, "POST", "/v2.0/subnets", object{"subnet": six}, 400, "HTTPBadRequest")
	})
}
