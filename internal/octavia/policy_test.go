package octavia_test

import (
	"strconv"
	"strings"
	"testing"

	"poise/internal/octavia"
)

// TestPolicies goes through who may do what (octavia-rbac.md §9), for each of the five resources.
func TestPolicies(t *testing.T) {
	type request struct{ method, path, body string }
	reads := []request{
		{"GET", "/loadbalancers/{lb}", ""},
		{"GET", "/loadbalancers/{lb}/stats", ""},
		{"GET", "/loadbalancers/{lb}/status", ""},
		{"GET", "/loadbalancers/{lb}/statuses", ""},
		{"GET", "/listeners/{listener}", ""},
		{"GET", "/listeners/{listener}/stats", ""},
		{"GET", "/pools/{pool}", ""},
		{"GET", "/pools/{pool}/members/{member}", ""},
		{"GET", "/healthmonitors/{monitor}", ""},
		{"GET", "/pools/{pool}/members", ""},
	}
	writes := []request{
		{"PUT", "/loadbalancers/{lb}", `{"loadbalancer": {}}`},
		{"PUT", "/listeners/{listener}", `{"listener": {}}`},
		{"PUT", "/pools/{pool}", `{"pool": {}}`},
		{"PUT", "/pools/{pool}/members/{member}", `{"member": {}}`},
		{"PUT", "/healthmonitors/{monitor}", `{"healthmonitor": {}}`},
		{"PUT", "/pools/{pool}/members", `{"members": [{"address": "10.0.0.20", "protocol_port": 80}]}`},
		{"POST", "/listeners", `{"listener": {"protocol": "TCP", "protocol_port": {port}, "loadbalancer_id": "{lb}"}}`},
		{"POST", "/pools", `{"pool": {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": "{lb}"}}`},
		{"POST", "/pools/{pool}/members", `{"member": {"address": "10.0.0.30", "protocol_port": {port}}}`},
	}
	refusedWrites := append([]request{
		{"POST", "/healthmonitors", `{"healthmonitor": {"type": "TCP", "delay": 5, "timeout": 3, "max_retries": 3, "pool_id": "{pool}"}}`},
		{"POST", "/pools", `{"pool": {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "listener_id": "{listener}"}}`},
		{"POST", "/listeners", `{"listener": {"protocol": "HTTP", "protocol_port": 80, "loadbalancer_id": "{lb}"}}`}, // 403 before 501 and 409
		{"DELETE", "/loadbalancers/{lb}", ""},
		{"DELETE", "/loadbalancers/{lb}?cascade=true", ""},
		{"DELETE", "/listeners/{listener}", ""},
		{"DELETE", "/pools/{pool}", ""},
		{"DELETE", "/pools/{pool}/members/{member}", ""},
		{"DELETE", "/healthmonitors/{monitor}", ""},
		{"PUT", "/pools/{pool}/members?additive_only=true", `{"members": []}`},
		{"PUT", "/loadbalancers/{lb}/failover", ""},
	}, writes...)

	a := newAPI(t)
	tree := a.tree("member", "one")
	port := 1000
	check := func(user string, requests []request, allowed bool) {
		for _, r := range requests {
			port++
			body := strings.ReplaceAll(tree.in(r.body), "{port}", strconv.Itoa(port))
			got := a.send(user, r.method, tree.in(r.path), body)
			if allowed && got.Code >= 300 || !allowed && got.Code != 403 {
				t.Errorf("%s %s as %s: %d %s", r.method, r.path, user, got.Code, got.Body)
			}
		}
	}
	for _, user := range []string{"member", "admin", "lbmember", "lbadmin"} {
		check(user, reads, true)
		check(user, writes, true)
	}
	for _, user := range []string{"reader", "lbwatcher"} {
		check(user, reads, true)
		check(user, refusedWrites, false)
	}
	for _, user := range []string{"nobody", "memberB", "unscoped"} {
		check(user, reads, false)
		check(user, refusedWrites, false)
	}
	check("service", reads[:len(reads)-1], false)
	check("service", reads[len(reads)-1:], true) // the members of a pool
	check("service", refusedWrites, false)
	if left := a.must("memberB", "POST", "/loadbalancers", tree.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}"}}`), 201); left["project_id"] != projectB {
		t.Errorf("project %v", left["project_id"])
	}
}

// TestMissingBeforeForbidden answers 404 for what is not there, whoever asks.
func TestMissingBeforeForbidden(t *testing.T) {
	a := newAPI(t)
	for _, user := range []string{"memberB", "nobody", "admin"} {
		for _, path := range []string{
			"/loadbalancers/{missing}", "/listeners/{missing}", "/pools/{missing}", "/healthmonitors/{missing}",
			"/pools/{missing}/members", "/pools/{missing}/members/{missing}",
		} {
			a.refused(user, "GET", tree{}.in(path), "", 404, "not found.")
		}
	}
}

// TestProjects says to which project a load balancer belongs.
func TestProjects(t *testing.T) {
	a := newAPI(t)
	create := func(attributes string) string {
		return tree{}.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}"` + attributes + `}}`)
	}
	for _, key := range []string{"project_id", "tenant_id"} {
		foreign := create(`, "` + key + `": "` + projectB + `"`)
		a.refused("member", "POST", "/loadbalancers", foreign, 403, "Policy does not allow")
		if got := a.must("admin", "POST", "/loadbalancers", foreign, 201); got["project_id"] != projectB || got["tenant_id"] != projectB {
			t.Errorf("%s of another: %v", key, got["project_id"])
		}
		own := create(`, "` + key + `": "` + projectA + `"`)
		if got := a.must("member", "POST", "/loadbalancers", own, 201); got["project_id"] != projectA {
			t.Errorf("own %s: %v", key, got["project_id"])
		}
	}
	a.refused("unscoped", "POST", "/loadbalancers", create(""), 400, "Missing project ID in request")
	a.refused("reader", "POST", "/loadbalancers", create(""), 403, "Policy does not allow")

	lb := a.loadBalancer("member", "one")
	child := a.must("admin", "POST", "/listeners",
		`{"listener": {"protocol": "TCP", "protocol_port": 80, "project_id": "`+projectB+`", "loadbalancer_id": "`+lb+`"}}`, 201)
	if child["project_id"] != projectA {
		t.Errorf("an administrator's listener is in project %v", child["project_id"])
	}
}

// TestListScope says whose objects a list shows (octavia-rbac.md §5).
func TestListScope(t *testing.T) {
	a := newAPI(t)
	a.tree("member", "one")
	a.tree("memberB", "two")
	for _, path := range []string{"/loadbalancers", "/listeners", "/pools", "/healthmonitors"} {
		for _, test := range []struct {
			user, query string
			want        int
		}{
			{"member", "", 1},
			{"reader", "", 1},
			{"member", "?project_id=" + projectA, 1},
			{"memberB", "", 1},
			{"admin", "", 2},
			{"admin", "?project_id=" + projectB, 1},
			{"admin", "?project_id=nosuch", 0},
			{"lbwatcher", "", 2},
			{"lbmember", "", 1},
		} {
			if got := a.list(test.user, path+test.query); len(got) != test.want {
				t.Errorf("%s%s as %s: %d objects, want %d", path, test.query, test.user, len(got), test.want)
			}
		}
		for user, query := range map[string]string{"member": "?project_id=" + projectB, "nobody": "", "unscoped": "", "service": ""} {
			a.refused(user, "GET", path+query, "", 403, "Policy does not allow")
		}
	}
}

// TestAdminOnly covers what only administrators may see and do.
func TestAdminOnly(t *testing.T) {
	a := newAPI(t)
	lb := a.loadBalancer("member", "one")
	for _, path := range []string{
		"/flavorprofiles", "/availabilityzoneprofiles", "/providers/poise/flavor_capabilities", "=/v2/octavia/amphorae",
		"/providers/poise/availability_zone_capabilities",
	} {
		a.refused("member", "GET", path, "", 403, "Policy does not allow")
		a.list("admin", path)
	}
	a.refused("member", "PUT", "/loadbalancers/"+lb+"/failover", "", 403, "Policy does not allow")
	a.must("admin", "PUT", "/loadbalancers/"+lb+"/failover", "", 202)
	a.refused("admin", "PUT", "/loadbalancers/"+missingID+"/failover", "", 404, "not found")
}

// TestPolicySets says whose roles count in each of the sets that the configuration can choose.
func TestPolicySets(t *testing.T) {
	type allowed struct{ read, write, all, quota bool }
	tests := map[octavia.RBAC]map[string]allowed{
		octavia.RBACDefault: {
			"member": {read: true, write: true}, "reader": {read: true}, "nobody": {}, "lbmember": {read: true, write: true},
			"lbwatcher": {read: true, all: true}, "lbquota": {quota: true}, "lbadmin": {true, true, true, true}, "admin": {true, true, true, true},
		},
		octavia.RBACKeystone: {
			"member": {read: true, write: true}, "reader": {read: true}, "nobody": {}, "lbmember": {}, "lbwatcher": {}, "lbquota": {},
			"lbadmin": {}, "admin": {true, true, true, true},
		},
		octavia.RBACAdvanced: {
			"member": {}, "reader": {}, "nobody": {}, "lbmember": {read: true, write: true}, "lbwatcher": {read: true, all: true},
			"lbquota": {quota: true}, "lbadmin": {true, true, true, true}, "admin": {true, true, true, true},
		},
		octavia.RBACOwner: {
			"member": {read: true, write: true}, "reader": {read: true, write: true}, "nobody": {read: true, write: true}, "lbmember": {read: true, write: true},
			"memberB": {}, "admin": {true, true, true, true},
		},
	}
	for set, users := range tests {
		a := newAPI(t, func(c *octavia.Config) { c.RBAC = set })
		lb := a.loadBalancer("admin", "one")
		own := a.must("admin", "POST", "/loadbalancers", tree{}.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}", "project_id": "`+projectA+`"}}`), 201)
		for user, may := range users {
			for _, test := range []struct {
				method, path, body string
				allowed            bool
			}{
				{"GET", "/loadbalancers/" + id(own), "", may.read},
				{"PUT", "/loadbalancers/" + id(own), `{"loadbalancer": {}}`, may.write},
				{"GET", "/loadbalancers/" + lb, "", may.all},
				{"PUT", "/quotas/" + projectA, `{"quota": {}}`, may.quota},
				{"GET", "/quotas/another", "", may.quota || may.all},
			} {
				if got := a.send(user, test.method, test.path, test.body); got.Code < 300 != test.allowed || !test.allowed && got.Code != 403 {
					t.Errorf("%s: %s %s as %s: %d", set, test.method, test.path, user, got.Code)
				}
			}
		}
	}
}

// TestScope refuses tokens of no project where the configuration says so.
func TestScope(t *testing.T) {
	a := newAPI(t, func(c *octavia.Config) { c.EnforceScope = true })
	a.refused("unscoped", "GET", "/flavors", "", 403, "Policy does not allow")
	a.refused("unscoped", "GET", "/providers", "", 403, "Policy does not allow")
	a.list("member", "/flavors")
}
