package neutron_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/lb"
	"poise/internal/neutron"
)

func (c *cloud) limit(project string, limits object) {
	c.t.Helper()
	c.must(root, "PUT", "/v2.0/quotas/"+project, object{"quota": limits})
}

// TestQuotas has each resource refused when the project has all that it may have, and again had when one is gone.
func TestQuotas(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"name": "ext-net", "router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		inside := c.network(alice, nil)
		subnet := c.subnet(alice, inside, "10.0.0.0/16")
		group := c.group(alice, "g")
		next := 0
		for _, one := range []struct {
			plural, resource string
			body             func() object
		}{
			{"networks", "network", func() object { return object{"network": object{}} }},
			{"subnets", "subnet", func() object {
				next++
				return object{"subnet": object{"network_id": inside["id"], "ip_version": 4, "cidr": fmt.Sprintf("10.%d.0.0/16", next)}}
			}},
			{"ports", "port", func() object { return object{"port": object{"network_id": inside["id"]}} }},
			{"routers", "router", func() object { return object{"router": object{}} }},
			{"floatingips", "floatingip", func() object { return object{"floatingip": object{"floating_network_id": outside["id"]}} }},
			{"security-groups", "security_group", func() object { return object{"security_group": object{"name": "x"}} }},
			{"security-group-rules", "security_group_rule", func() object {
				next++
				return object{"security_group_rule": object{
					"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp", "port_range_min": next, "port_range_max": next,
				}}
			}},
			{"qos/policies", "policy", func() object { return object{"policy": object{"name": "x"}} }},
			{"subnetpools", "subnetpool", func() object {
				return object{"subnetpool": object{"name": "x", "prefixes": []string{"172.16.0.0/12"}}}
			}},
		} {
			used := c.used("p1", one.resource)
			c.limit("p1", object{one.resource: used + 2})
			made := []object{}
			for range 2 {
				made = append(made, c.must(alice, "POST", "/v2.0/"+one.plural, one.body()))
			}
			status, answer := c.call(alice, "POST", "/v2.0/"+one.plural, one.body())
			want := object{"NeutronError": object{
				"type": "OverQuota", "message": "Quota exceeded for resources: ['" + one.resource + "'].", "detail": "",
			}}
			if diff := cmp.Diff(want, answer); status != http.StatusConflict || diff != "" {
				t.Errorf("one %s too many: %d %s", one.resource, status, diff)
			}
			if got := c.used("p1", one.resource); got != used+2 {
				t.Errorf("%s: %d are used after the refusal, want %d", one.resource, got, used+2)
			}
			c.must(alice, "DELETE", "/v2.0/"+one.plural+"/"+id(made[0]), nil)
			c.must(alice, "POST", "/v2.0/"+one.plural, one.body())
			c.limit("p1", object{one.resource: -1})
			c.must(alice, "POST", "/v2.0/"+one.plural, one.body())
		}
		_ = subnet
	})
}

// used is how many the quota API says that a project has.
func (c *cloud) used(project, resource string) int {
	c.t.Helper()
	details := c.must(root, "GET", "/v2.0/quotas/"+project+"/details", nil)
	return int(details[resource].(object)["used"].(float64))
}

// TestQuotaAtTheSameTime has many clients at once create more than the project may have.
func TestQuotaAtTheSameTime(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		const limit, clients = 5, 24
		outside := c.network(root, object{"router:external": true})
		c.subnet(root, outside, "198.51.100.0/24")
		c.limit("p1", object{"floatingip": limit})
		var made, refused atomic.Int64
		var tasks sync.WaitGroup
		for range clients {
			tasks.Go(func() {
				switch status, answer := c.call(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}}); status {
				case http.StatusCreated:
					made.Add(1)
				case http.StatusConflict:
					refused.Add(1)
				default:
					t.Errorf("%d %v", status, answer)
				}
			})
		}
		tasks.Wait()
		if made.Load() != limit || refused.Load() != clients-limit {
			t.Errorf("%d floating IPs were made and %d refused, of %d with a quota of %d", made.Load(), refused.Load(), clients, limit)
		}
		if got := len(c.ids(alice, "floatingips", "")); got != limit {
			t.Errorf("%d floating IPs are there, of a quota of %d", got, limit)
		}
	})
}

// TestQuotaAPI sets, shows, lists and resets, as the rights are.
func TestQuotaAPI(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		defaults := object{
			"floatingip": 50.0, "network": 100.0, "subnet": 100.0, "subnetpool": 100.0, "port": 500.0, "router": 10.0, "router_route": 30.0,
			"security_group": 10.0, "security_group_rule": 100.0, "rbac_policy": 10.0, "policy": 100.0, "project_id": "p1", "tenant_id": "p1",
		}
		show := func(path string) object { t.Helper(); return c.must(alice, "GET", "/v2.0/quotas/p1"+path, nil) }
		if diff := cmp.Diff(defaults, show("")); diff != "" {
			t.Error(diff)
		}
		c.limit("p1", object{"port": "7", "router": 3})
		changed := object{}
		for name, value := range defaults {
			changed[name] = value
		}
		changed["port"], changed["router"] = 7.0, 3.0
		if diff := cmp.Diff(changed, show("")); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(defaults, show("/default")); diff != "" {
			t.Error(diff)
		}
		_, listed := c.call(root, "GET", "/v2.0/quotas", nil)
		if diff := cmp.Diff(object{"quotas": []any{changed}}, listed); diff != "" {
			t.Error(diff)
		}
		if got := c.must(alice, "GET", "/v2.0/quotas/tenant", nil)["tenant_id"]; got != "p1" {
			t.Errorf("the token's project: %v", got)
		}
		c.network(alice, nil)
		c.network(alice, nil)
		set := func(limits object) object { return object{"quota": limits} }
		c.refused(root, "PUT", "/v2.0/quotas/p1", set(object{"network": 1}), 400, "HTTPBadRequest")
		c.must(root, "PUT", "/v2.0/quotas/p1", set(object{"network": 1, "force": true}))
		c.refused(root, "PUT", "/v2.0/quotas/p1", set(object{"network": -2}), 400, "HTTPBadRequest")
		c.refused(root, "PUT", "/v2.0/quotas/p1", set(object{"castle": 2}), 400, "HTTPBadRequest")
		c.refused(alice, "PUT", "/v2.0/quotas/p1", set(object{"network": 9}), 403, "PolicyNotAuthorized")
		c.refused(alice, "DELETE", "/v2.0/quotas/p1", nil, 403, "PolicyNotAuthorized")
		c.refused(alice, "GET", "/v2.0/quotas", nil, 403, "PolicyNotAuthorized")
		c.refused(bob, "GET", "/v2.0/quotas/p1", nil, 403, "PolicyNotAuthorized")
		c.refused(bob, "GET", "/v2.0/quotas/p1/details", nil, 403, "PolicyNotAuthorized")
		c.must(root, "DELETE", "/v2.0/quotas/p1", nil)
		c.refused(root, "DELETE", "/v2.0/quotas/p1", nil, 404, "TenantQuotaNotFound")
		if diff := cmp.Diff(defaults, show("")); diff != "" {
			t.Error(diff)
		}
	})
}

// TestQuotaOfExternalAddresses has a project take addresses of a foreign external network in every way that there is.
func TestQuotaOfExternalAddresses(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		outside := c.network(root, object{"router:external": true})
		subnet := c.subnet(root, outside, "198.51.100.0/24")
		c.limit("p1", object{"floatingip": 3})
		c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}})
		c.port(alice, outside, nil)
		vip := func(name string) error {
			_, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: name, ProjectID: "p1", SubnetID: id(subnet)})
			return err
		}
		if err := vip("one"); err != nil {
			t.Fatal(err)
		}
		if err := vip("two"); lb.CodeOf(err) != lb.QuotaExceeded {
			t.Errorf("a VIP beyond the quota: %v", err)
		}
		c.refused(alice, "POST", "/v2.0/ports", object{"port": object{"network_id": outside["id"]}}, 409, "OverQuota")
		c.refused(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}}, 409, "OverQuota")
		if err := c.service.ReleaseVIP(t.Context(), "one"); err != nil {
			t.Fatal(err)
		}
		c.must(alice, "POST", "/v2.0/floatingips", object{"floatingip": object{"floating_network_id": outside["id"]}})
	})
}

// TestQuotaOfPortsLeavesVIPs has load balancers not stop at the quota of ports, which they do not count towards.
func TestQuotaOfPortsLeavesVIPs(t *testing.T) {
	onEach(t, func(t *testing.T, c *cloud) {
		inside := c.network(alice, nil)
		subnet := c.subnet(alice, inside, "10.0.0.0/24")
		c.limit("p1", object{"port": 1})
		for i := range 3 {
			_, err := c.service.CreateVIP(t.Context(), alice, lb.VIPRequest{LoadBalancerID: fmt.Sprint(i), ProjectID: "p1", SubnetID: id(subnet)})
			if err != nil {
				t.Fatal(err)
			}
		}
		c.port(alice, inside, nil)
		_, err := c.service.MakeServerPort(t.Context(), root, "server", "p1", id(inside), netip.Addr{})
		if err == nil || err.Error() != "Quota exceeded for resources: ['port']." {
			t.Errorf("a server's port beyond the quota: %v", err)
		}
	})
}

func TestConfiguredQuota(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		_, err := neutron.New(t.Context(), neutron.Config{DB: db, Fabric: &recorder{}, Quota: neutron.Quota{"castle": 1}})
		if err == nil {
			t.Error("a quota of castles is taken")
		}
	})
}
