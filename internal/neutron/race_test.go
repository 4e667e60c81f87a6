package neutron_test

import (
	"net/http"
	"sync"
	"testing"
)

// TestDeletedMeanwhile refers to something in the very moment in which it is deleted. One of the two wins, and the other
// is told why it cannot have its way.
func TestDeletedMeanwhile(t *testing.T) {
	const rounds = 40
	onEach(t, func(t *testing.T, c *cloud) {
		c.limit("p1", object{"security_group": -1, "security_group_rule": -1, "network": -1, "port": -1})
		network := c.network(alice, nil)
		c.subnet(alice, network, "10.0.0.0/16")
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		for range rounds {
			group, alone := c.group(alice, "g"), c.network(alice, nil)
			c.subnet(alice, alone, "10.1.0.0/24")
			var tasks sync.WaitGroup
			race := func(method, path string, body any) {
				who := alice
				tasks.Go(func() {
					if status, answer := c.call(who, method, path, body); status >= http.StatusInternalServerError {
						t.Errorf("%s %s: %d %v", method, path, status, answer)
					}
				})
			}
			race("POST", "/v2.0/ports", object{"port": object{"network_id": network["id"], "security_groups": []any{group["id"]}}})
			race("DELETE", "/v2.0/security-groups/"+id(group), nil)
			race("POST", "/v2.0/ports", object{"port": object{"network_id": alone["id"]}})
			race("DELETE", "/v2.0/networks/"+id(alone), nil)
			race("POST", "/v2.0/security-group-rules", object{"security_group_rule": object{
				"security_group_id": c.ids(alice, "security-groups", "?name=default")[0], "direction": "ingress", "remote_group_id": group["id"],
			}})
			tasks.Wait()
		}
	})
}
