package neutron_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestIPv6Modes makes subnets as every guide to IPv6 in OpenStack does.
func TestIPv6Modes(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		network := c.network(alice, nil)
		const six = "fd00:1::/64"
		for _, test := range []struct {
			cidr, ra, mode string
			more           object
			status         int
		}{
			{six, "slaac", "slaac", nil, 201},
			{"fd00:2::/64", "", "slaac", nil, 201},
			{"fd00:3::/64", "dhcpv6-stateless", "", nil, 201},
			{"fd00:4::/72", "dhcpv6-stateful", "dhcpv6-stateful", nil, 201},
			{"fd00:5::/64", "slaac", "dhcpv6-stateless", nil, 400},
			{"fd00:5::/72", "slaac", "", nil, 400},
			{"fd00:5::/64", "on", "", nil, 400},
			{"fd00:5::/64", "slaac", "slaac", object{"enable_dhcp": false}, 400},
			{"10.0.0.0/24", "slaac", "slaac", nil, 400},
		} {
			wanted := object{"network_id": network["id"], "cidr": test.cidr, "ip_version": 6}
			if !strings.Contains(test.cidr, ":") {
				wanted["ip_version"] = 4
			}
			maps.Copy(wanted, test.more)
			modes := object{"ipv6_ra_mode": nil, "ipv6_address_mode": nil}
			for name, mode := range map[string]string{"ipv6_ra_mode": test.ra, "ipv6_address_mode": test.mode} {
				if mode != "" {
					modes[name] = mode
				}
			}
			maps.Copy(wanted, modes)
			status, answer := c.call(alice, "POST", "/v2.0/subnets", object{"subnet": wanted})
			if status != test.status {
				t.Errorf("%+v: %d %v", test, status, answer)
			} else if status == 201 {
				made := c.must(alice, "GET", "/v2.0/subnets/"+id(answer["subnet"].(object)), nil)
				got := object{"ipv6_ra_mode": made["ipv6_ra_mode"], "ipv6_address_mode": made["ipv6_address_mode"]}
				if diff := cmp.Diff(modes, got); diff != "" {
					t.Errorf("%+v: %s", test, diff)
				}
				path := "/v2.0/subnets/" + id(made)
				c.must(alice, "PUT", path, object{"subnet": object{"name": "n"}})
				for _, change := range []object{{"ipv6_ra_mode": "slaac"}, {"enable_dhcp": false}} {
					if status, answer := c.call(alice, "PUT", path, object{"subnet": change}); status != 400 {
						t.Errorf("%+v: change to %v: %d %v", test, change, status, answer)
					}
				}
			}
		}
	})
}
