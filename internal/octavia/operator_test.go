package octavia_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestQuotas follows a quota through its life, as its owner and as an administrator see it.
func TestQuotas(t *testing.T) {
	a := newAPI(t)
	const path = "/quotas/" + projectA
	fresh := a.must("member", "GET", path, "", 200)
	if diff := cmp.Diff(map[string]any{
		"project_id": projectA, "tenant_id": projectA, "loadbalancer": -1.0, "load_balancer": -1.0, "listener": -1.0, "member": -1.0,
		"pool": -1.0, "healthmonitor": -1.0, "health_monitor": -1.0, "l7policy": -1.0, "l7rule": -1.0,
	}, fresh); diff != "" {
		t.Error(diff)
	}
	a.refused("admin", "DELETE", path, "", 404, "Quotas "+projectA+" not found.")
	set := a.must("admin", "PUT", path, `{"quota": {"loadbalancer": "0", "health_monitor": 7, "l7rule": 2000000000}}`, 202)
	if set["load_balancer"] != 0.0 || set["healthmonitor"] != 7.0 || set["l7rule"] != 2e9 || set["pool"] != -1.0 {
		t.Errorf("set %v", set)
	}
	set = a.must("admin", "PUT", path, `{"quota": {"load_balancer": null, "healthmonitor": 8}}`, 202)
	if set["loadbalancer"] != -1.0 || set["health_monitor"] != 8.0 {
		t.Errorf("reset one %v", set)
	}
	a.must("admin", "PUT", path, `{"quota": {}}`, 202)
	a.must("admin", "PUT", "/quotas/nosuchproject", `{"quota": {"pool": 1}}`, 202)
	for user, want := range map[string]int{"member": 1, "memberB": 0, "admin": 2, "lbquota": 2, "lbwatcher": 2} {
		if all := a.list(user, "/quotas"); len(all) != want {
			t.Errorf("%s sees %v", user, all)
		}
	}
	if one := a.list("admin", "/quotas?project_id=nosuchproject"); len(one) != 1 || one[0]["pool"] != 1.0 {
		t.Errorf("of one project %v", one)
	}
	a.must("admin", "DELETE", path, "", 202)
	if diff := cmp.Diff(fresh, a.must("reader", "GET", path, "", 200)); diff != "" {
		t.Error(diff)
	}
	for path, user := range map[string]string{"/quotas/defaults": "member", path + "/default": "reader", "/quotas/another/default": "lbquota"} {
		if got := a.must(user, "GET", path, "", 200); got["pool"] != -1.0 {
			t.Errorf("defaults %v", got)
		}
	}
	for _, test := range []struct {
		user, method, path, body string
		status                   int
		message                  string
	}{
		{"member", "PUT", path, `{"quota": {}}`, 403, "Policy"},
		{"member", "DELETE", path, "", 403, "Policy"},
		{"memberB", "GET", path, "", 403, "Policy"},
		{"memberB", "GET", path + "/default", "", 403, "Policy"},
		{"nobody", "GET", "/quotas/defaults", "", 403, "Policy"},
		{"member", "GET", "/quotas?project_id=" + projectB, "", 403, "Policy"},
		{"admin", "PUT", path, `{"quota": {"loadbalancer": "many"}}`, 400, "Invalid input for field/attribute quotas. Value: '{'quota': {'loadbalancer': 'many'}}'. invalid literal for int() with base 10: 'many'"},
		{"admin", "PUT", path, `{"quota": {"loadbalancer": -2}}`, 400, "Invalid input for field/attribute loadbalancer. Value: '-2'. Value should be greater or equal to -1"},
		{"admin", "PUT", path, `{"quota": {"pool": 2000000001}}`, 400, "Value should be lower or equal to 2000000000"},
		{"admin", "PUT", path, `{"quota": {"project_id": "x"}}`, 400, "Unknown attribute for argument quotas.quota: project_id"},
		{"admin", "PUT", "/quotas", `{"quota": {}}`, 400, `Missing argument: "project_id"`},
		{"admin", "GET", "/quotas?nosuch=1", "", 400, "One or more arguments"},
	} {
		a.refused(test.user, test.method, test.path, test.body, test.status, test.message)
	}
}

// TestQuotaRefuses reaches a limit of each kind on the real store.
func TestQuotaRefuses(t *testing.T) {
	a := realAPI(t)
	tree := a.tree("member", "one")
	a.must("admin", "PUT", "/quotas/"+projectA, `{"quota": {"load_balancer": 1, "listener": 1, "pool": 1, "member": 2, "healthmonitor": 1}}`, 202)
	met := "Quota has been met for resources: "
	a.refused("member", "POST", "/loadbalancers", tree.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}"}}`), 403, met+"Load Balancer")
	a.refused("admin", "POST", "/listeners", tree.in(`{"listener": {"protocol": "TCP", "protocol_port": 81, "loadbalancer_id": "{lb}"}}`), 403, met+"Listener")
	a.refused("member", "POST", "/pools", tree.in(`{"pool": {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": "{lb}"}}`), 403, met+"Pool")
	batch := func(n int) string {
		list := ""
		for i := range n {
			list += fmt.Sprintf(`, {"address": "10.0.0.%d", "protocol_port": 80}`, 30+i)
		}
		return `{"members": [` + list[2:] + `]}`
	}
	a.refused("member", "PUT", tree.in("/pools/{pool}/members"), batch(3), 403, met+"Member")
	a.refused("member", "PUT", tree.in("/pools/{pool}/members?additive_only=true"), batch(2), 403, met+"Member")
	a.must("member", "PUT", tree.in("/pools/{pool}/members"), batch(2), 202)
	a.must("memberB", "POST", "/loadbalancers", tree.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}"}}`), 201)
}

const zeroID = "00000000-0000-0000-0000-000000000000"

// TestFlavors makes, changes and deletes flavors and availability zones with their profiles.
func TestFlavors(t *testing.T) {
	for _, k := range []struct{ profiles, profile, data, offers, offer, attribute, key string }{
		{"/flavorprofiles", "flavorprofile", "flavor_data", "/flavors", "flavor", "flavor_id", "id"},
		{
			"/availabilityzoneprofiles", "availability_zone_profile", "availability_zone_data",
			"/availabilityzones", "availability_zone", "availability_zone", "name",
		},
	} {
		t.Run(k.offer, func(t *testing.T) {
			a := realAPI(t)
			newProfile := func(data string) string {
				return fmt.Sprintf(`{%q: {"name": "p", "provider_name": "amphora", %q: %q}}`, k.profile, k.data, data)
			}
			profile := a.must("admin", "POST", k.profiles, newProfile("{}"), 201)
			if len(profile) != 4 || profile["provider_name"] != "amphora" || profile[k.data] != "{}" {
				t.Errorf("profile %v", profile)
			}
			ofProfile := k.profiles + "/" + id(profile)
			newOffer := fmt.Sprintf(`{%q: {"name": "gold", "%s_profile_id": %q}}`, k.offer, k.offer, id(profile))
			offer := a.must("admin", "POST", k.offers, newOffer, 201)
			if offer["enabled"] != true || offer["description"] != "" || offer["name"] != "gold" {
				t.Errorf("offer %v", offer)
			}
			key := offer[k.key].(string)
			ofOffer := k.offers + "/" + key
			if got := a.must("reader", "GET", ofOffer, "", 200); !cmp.Equal(got, offer) {
				t.Error(cmp.Diff(offer, got))
			}
			if all := a.list("member", k.offers+"?enabled=True&fields=name&sort=name:desc"); len(all) != 1 || len(all[0]) != 1 {
				t.Errorf("list %v", all)
			}
			body := func(envelope, attributes string) string { return `{"` + envelope + `": {` + attributes + `}}` }
			balancer := func(attributes string) string {
				return tree{}.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}", "` + k.attribute + `": "` + key + `"` + attributes + `}}`)
			}
			for _, test := range []struct {
				user, method, path, body string
				status                   int
				message                  string
			}{
				{"member", "POST", k.offers, newOffer, 403, "Policy"},
				{"member", "PUT", ofOffer, body(k.offer, ""), 403, "Policy"},
				{"member", "DELETE", ofOffer, "", 403, "Policy"},
				{"member", "GET", ofProfile, "", 403, "Policy"},
				{"nobody", "GET", k.offers, "", 403, "Policy"},
				{"admin", "POST", k.offers, newOffer, 409, " of gold already exists."},
				{"admin", "POST", k.offers, body(k.offer, `"name": "x", "`+k.offer+`_profile_id": "`+missingID+`"`), 400, "not found."},
				{"admin", "POST", k.offers, body(k.offer, `"name": "x"`), 400, "Mandatory field missing."},
				{"admin", "PUT", ofOffer, body(k.offer, `"`+k.offer+`_profile_id": "`+missingID+`"`), 400, "Unknown attribute"},
				{"admin", "GET", k.offers + "/" + zeroID, "", 404, zeroID + " not found."},
				{"admin", "DELETE", k.profiles + "/" + zeroID, "", 404, zeroID + " not found."},
				{"admin", "PUT", k.profiles + "/" + zeroID, body(k.profile, ""), 404, zeroID + " not found."},
				{"admin", "DELETE", ofProfile, "", 409, id(profile) + " is in use and cannot be modified."},
				{"admin", "PUT", ofProfile, body(k.profile, `"provider_name": "poise"`), 409, "is in use"},
				{"admin", "PUT", ofProfile, body(k.profile, `"name": null`), 400, "None is not a valid option for name"},
				{"admin", "POST", k.profiles, newProfile(`{"nosuch": 1}`), 501, "Provider 'amphora' does not support a requested option: Additional properties are not allowed ('nosuch' was unexpected)"},
				{"admin", "POST", k.profiles, newProfile("nonsense"), 400, "nonsense is not a valid option for " + k.data},
				{"admin", "POST", k.profiles, newProfile("[]"), 501, "is not of type 'object'"},
				{"admin", "POST", k.profiles, body(k.profile, `"name": "p", "provider_name": "nosuch", "`+k.data+`": "{}"`), 400, "Provider 'nosuch' is not enabled."},
			} {
				a.refused(test.user, test.method, test.path, test.body, test.status, test.message)
			}
			a.must("admin", "PUT", ofProfile, body(k.profile, `"name": "q"`), 200)
			changed := a.must("admin", "PUT", ofOffer, body(k.offer, `"enabled": false, "description": "d"`), 200)
			if changed["enabled"] != false || changed["description"] != "d" || changed["name"] != "gold" {
				t.Errorf("changed %v", changed)
			}
			a.refused("member", "POST", "/loadbalancers", balancer(""), 400, "The selected "+k.offer+" is not allowed in this deployment: "+key)
			a.must("admin", "PUT", ofOffer, body(k.offer, `"enabled": null, "description": null`), 200)
			if k.offer == "flavor" {
				a.refused("member", "POST", "/loadbalancers", balancer(`, "provider": "ovn"`), 400, "Flavor '"+key+"' is not compatible with provider 'ovn'")
			}
			user := a.must("member", "POST", "/loadbalancers", balancer(""), 201)
			if user[k.attribute] != key || k.offer == "flavor" && user["provider"] != "amphora" {
				t.Errorf("load balancer %v", user)
			}
			a.refused("admin", "DELETE", ofOffer, "", 409, key+" is in use and cannot be modified.")
			a.must("member", "DELETE", "/loadbalancers/"+id(user), "", 204)
			a.until("/loadbalancers/"+id(user), "404 <nil>")
			a.must("admin", "DELETE", ofOffer, "", 204)
			a.must("admin", "DELETE", ofProfile, "", 204)
		})
	}
}

// TestValidNetworks has an availability zone say where VIPs may be.
func TestValidNetworks(t *testing.T) {
	a := realAPI(t)
	for zone, networks := range map[string]string{"here": `[\"` + networkID + `\"]`, "elsewhere": `[\"` + missingID + `\"]`} {
		profile := a.must("admin", "POST", "/availabilityzoneprofiles",
			`{"availability_zone_profile": {"name": "p", "provider_name": "poise", "availability_zone_data": "{\"valid_vip_networks\": `+networks+`}"}}`, 201)
		a.must("admin", "POST", "/availabilityzones",
			`{"availability_zone": {"name": "`+zone+`", "availability_zone_profile_id": "`+id(profile)+`"}}`, 201)
	}
	in := func(zone string) string {
		return tree{}.in(`{"loadbalancer": {"vip_subnet_id": "{subnet}", "availability_zone": "` + zone + `"}}`)
	}
	a.must("member", "POST", "/loadbalancers", in("here"), 201)
	a.refused("member", "POST", "/loadbalancers", in("elsewhere"), 400, "Supplied VIP network_id is not allowed")
}

// TestAmphorae shows one placement for each load balancer.
func TestAmphorae(t *testing.T) {
	a := newAPI(t)
	one, two := a.tree("member", "one"), a.loadBalancer("memberB", "two")
	const path = "=/v2.0/octavia/amphorae"
	all := a.list("admin", path)
	if len(all) != 2 || all[0]["loadbalancer_id"] != one.lb || all[0]["status"] != "PENDING_CREATE" || all[0]["role"] != "STANDALONE" {
		t.Fatalf("amphorae %v", all)
	}
	a.control.acknowledge()
	first := id(all[0])
	for query, want := range map[string]int{
		"loadbalancer_id=" + two: 1, "project_id=" + projectA: 1, "status=ALLOCATED": 2, "role=MASTER": 0, "id=" + first: 1, "compute_id=x": 0,
	} {
		if some := a.list("admin", path+"?"+query); len(some) != want {
			t.Errorf("%s: %v", query, some)
		}
	}
	if shown := a.must("admin", "GET", path+"/"+first, "", 200); len(shown) != 20 || shown["ha_ip"] != "10.0.2.35" || shown["status"] != "ALLOCATED" {
		t.Errorf("%d attributes: %v", len(shown), shown)
	}
	a.control.count(one.listener, 7)
	stats := a.send("admin", "GET", path+"/"+first+"/stats", "").body["amphora_stats"].([]any)
	if diff := cmp.Diff([]any{map[string]any{
		"id": first, "listener_id": one.listener, "loadbalancer_id": one.lb, "active_connections": 7.0, "bytes_in": 7.0, "bytes_out": 7.0,
		"request_errors": 7.0, "total_connections": 7.0,
	}}, stats); diff != "" {
		t.Error(diff)
	}
	a.must("admin", "PUT", path+"/"+first+"/config", "", 202)
	a.refused("admin", "DELETE", path+"/"+first, "", 409, "Amphora "+first+" is immutable and cannot be updated.")
	a.refused("admin", "GET", path+"/"+id(all[1])+"/stats", "", 404, "Amphora stats for "+id(all[1])+" not found.")
	a.refused("admin", "GET", path+"/"+missingID, "", 404, "Amphora "+missingID+" not found.")
	for _, request := range []string{"GET ", "GET /" + first, "DELETE /" + first, "GET /" + first + "/stats", "PUT /" + first + "/failover", "PUT /" + first + "/config"} {
		var method, rest string
		_, _ = fmt.Sscan(request, &method, &rest)
		a.refused("member", method, path+rest, "", 403, "Policy")
	}
	a.must("admin", "PUT", path+"/"+first+"/failover", "", 202)
	if again := a.list("admin", path+"?loadbalancer_id="+one.lb); len(again) != 1 || id(again[0]) == first {
		t.Errorf("after the failover: %v", again)
	}
	if got := a.must("member", "GET", "/loadbalancers/"+one.lb, "", 200); got["provisioning_status"] != "PENDING_UPDATE" {
		t.Errorf("load balancer is %v", got["provisioning_status"])
	}
	a.must("admin", "PUT", "/loadbalancers/"+two+"/failover", "", 202)
	a.must("memberB", "DELETE", "/loadbalancers/"+two, "", 204)
	a.refused("admin", "PUT", "/loadbalancers/"+two+"/failover", "", 409, "Invalid state PENDING_DELETE of loadbalancer resource "+two)
}

func TestCapabilities(t *testing.T) {
	a := newAPI(t)
	for path, want := range map[string]int{
		"/providers/amphora/flavor_capabilities": 5, "/providers/poise/availability_zone_capabilities": 4,
		"/providers/poise/flavor_capabilities?name=loadbalancer_topology&fields=name": 1,
	} {
		if all := a.list("admin", path); len(all) != want {
			t.Errorf("%s: %v", path, all)
		}
	}
	a.refused("admin", "GET", "/providers/nosuch/flavor_capabilities", "", 400, "Provider 'nosuch' is not enabled.")
	a.refused("member", "GET", "/providers/nosuch/flavor_capabilities", "", 403, "Policy")
}

// TestTopology finds load balancers by what the profiles of their flavors say.
func TestTopology(t *testing.T) {
	a := newAPI(t)
	for name, data := range map[string]string{"pair": `{\"loadbalancer_topology\": \"ACTIVE_STANDBY\"}`, "plain": "{}"} {
		profile := a.must("admin", "POST", "/flavorprofiles", fmt.Sprintf(
			`{"flavorprofile": {"name": %q, "provider_name": "poise", "flavor_data": "%s"}}`, name, data), 201)
		flavor := a.must("admin", "POST", "/flavors", fmt.Sprintf(`{"flavor": {"name": %q, "flavor_profile_id": %q}}`, name, id(profile)), 201)
		a.must("member", "POST", "/loadbalancers", fmt.Sprintf(
			`{"loadbalancer": {"name": %q, "vip_subnet_id": %q, "flavor_id": %q}}`, name, subnetID, id(flavor)), 201)
	}
	a.loadBalancer("member", "without")
	for query, want := range map[string]string{
		"topology=ACTIVE_STANDBY": "pair", "topology=SINGLE&sort=name": "plain without", "topology=TRIPLE": "", "sort=topology,name": "pair plain without",
	} {
		if got := a.names("member", "/loadbalancers?"+query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
}
