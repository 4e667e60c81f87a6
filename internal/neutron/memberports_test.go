package neutron_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
)

// A load balancer has a port in each subnet of its members, for as long as there are some; not where it would have the same
// addresses twice, nor in somebody else's external network, nor in a subnet that is full or gone.
func TestPortsInMembersSubnets(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		public := c.subnet(root, outside, "198.51.100.0/24")
		network, other := c.network(alice, nil), c.network(alice, nil)
		subnet := c.subnet(alice, network, "10.0.0.0/24")
		six := c.must(alice, "POST", "/v2.0/subnets", object{"subnet": object{"network_id": network["id"], "cidr": "fd00::/64", "ip_version": 6}})
		far, same := c.subnet(alice, other, "10.0.1.0/24"), c.subnet(alice, c.network(alice, nil), "10.0.0.0/16")
		tiny := c.subnet(alice, c.network(alice, nil), "10.0.9.0/30")
		c.port(alice, object{"id": tiny["network_id"]}, nil) // takes the only address
		vip, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: "one", ProjectID: "p1", SubnetID: id(subnet)})
		if err != nil {
			t.Fatal(err)
		}
		attach := func(wanted []string, subnets ...object) {
			t.Helper()
			ids := []string{}
			for _, s := range subnets {
				ids = append(ids, id(s))
			}
			for range 2 { // the second time everything is there
				ports, err := c.service.AttachMembers(t.Context(), "one", vip, ids)
				if err != nil {
					t.Fatal(err)
				}
				got := []string{}
				for _, p := range ports {
					got = append(got, p.Addresses[0].Masked().String())
				}
				if diff := cmp.Diff(wanted, got); diff != "" {
					t.Errorf("ports (-want +got)\n%s", diff)
				}
			}
			if err := c.service.DetachMembers(t.Context(), "one", vip, ids); err != nil {
				t.Fatal(err)
			}
			if got := c.ids(alice, "ports", "?device_id=lb-one"); len(got) != len(wanted)+1 {
				t.Errorf("the load balancer has %d ports, want %d", len(got), len(wanted)+1)
			}
		}
		attach([]string{"fd00::/64", "10.0.1.0/24"}, six, far, same, public, tiny, object{"id": "gone"})
		c.refused(alice, "DELETE", "/v2.0/subnets/"+id(far), nil, 409, "SubnetInUse")
		attach([]string{"10.0.1.0/24"}, far)
		attach([]string{})
		c.must(alice, "DELETE", "/v2.0/subnets/"+id(far), nil)
		attach([]string{"fd00::/64"}, six)
		if err := c.service.ReleaseVIP(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		if left := c.ids(alice, "ports", "?device_id=lb-one"); len(left) > 0 {
			t.Errorf("left are the ports %v", left)
		}
	})
}
