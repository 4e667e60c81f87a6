package console_test

import (
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"poise/internal/console"
	"poise/internal/testpki"
)

// ids fill the placeholders of patterns in, for what fill has put into a cloud.
var ids = strings.NewReplacer(
	"{region}", "One", "{id}", "one", "{listener}", "listener-one", "{pool}", "pool-one", "{member}", "member-one", "{policy}", "policy-one",
	"{kind}/{object}", "pools/pool-one", "{kind}/{certificate}", "containers/bag-one", "{ip}", "f", "{project}", "p-ann", "{flavor}", "flavor-one",
	"{profile}", "profile-one", "{$}", "",
)

// everyPath is the address of every page that answers a method, and of every tab.
func everyPath(method string) (all []string) {
	for _, p := range console.Patterns() {
		if p[0] == method && p[1] != "/events" {
			all = append(all, ids.Replace(p[1]))
		}
	}
	if method == http.MethodGet {
		for _, tab := range []string{"details", "listeners", "pools&pool=pool-one", "traffic", "history"} {
			all = append(all, "/load-balancers/One/one?tab="+tab)
		}
		all = append(all, "/load-balancers?open=one~pools~pool-one", "/load-balancers/delete?id=One/one", "/load-balancers/One/one/health-monitors/monitor-one/delete", "/load-balancers/One/one/series?object=one")
	}
	return all
}

// fill gives a user one object of each kind, all of them called by the same name.
func (c *fakeCloud) fill(t *testing.T, user, name string) {
	c.balancer(user, "one", name)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	numbers := []int{0, 5, 9, 0}
	c.mu.Lock()
	for _, o := range c.objects["listeners"] {
		o["protocol"], o["l7policies"] = "TERMINATED_HTTPS", []map[string]any{{"id": "policy-one"}}
		o["default_tls_container_ref"], o["sni_container_refs"] = c.URL+"/keys/v1/containers/bag-one", []string{name}
		o["client_ca_tls_container_ref"], o["allowed_cidrs"] = name, []string{name}
	}
	c.answers["loadbalancers/one/events"] = map[string]any{"events": []map[string]any{
		{"time": now, "type": name, "object_type": name, "object_id": name, "object_name": name, "from": name, "to": "ERROR", "reason": name},
	}}
	c.answers["loadbalancers/one/series"] = map[string]any{"series": map[string]any{"from": now, "step": 10, "objects": []map[string]any{{
		"object_type": "loadbalancer", "object_id": "one", "object_name": name,
		"active": numbers, "connections": numbers, "requests": numbers, "errors": numbers, "bytes_in": numbers, "bytes_out": numbers,
	}}}}
	c.answers["pools/pool-one/members/member-one/health"] = map[string]any{"health": map[string]any{
		"operating_status": "ERROR", "status_reason": name, "since": now,
		"probes": []map[string]any{{"time": now, "count": 3, "ok": false, "reason": name, "duration_ms": 1.5, "changed": true}, {"time": now, "count": 3, "ok": true}},
	}}
	c.answers["quotas/p-"+user] = map[string]any{"quota": map[string]any{"loadbalancer": 10, "listener": -1}}
	leaf := testpki.NewAuthority(t, name).Issue(t, name)
	c.answers["keys/secrets/leaf-one/payload"] = leaf.Raw // in DER
	c.mu.Unlock()
	common := map[string]any{"project_id": "p-" + user, "operating_status": "ERROR", "status_reason": name, "name": name, "description": name}
	with := func(more map[string]any) map[string]any {
		for key, value := range common {
			more[key] = value
		}
		return more
	}
	c.add("l7policies", with(map[string]any{
		"id": "policy-one", "listener_id": "listener-one", "action": "REDIRECT_TO_URL", "redirect_url": name, "redirect_http_code": 302, "position": 1,
	}))
	c.add("l7policies/policy-one/rules", with(map[string]any{"id": "rule-one", "type": name, "compare_type": name, "key": name, "value": name}))
	c.add("flavors", map[string]any{"id": "flavor-one", "name": name, "description": name, "enabled": true, "flavor_profile_id": "profile-one"})
	c.add("flavorprofiles", map[string]any{"id": "profile-one", "name": name, "provider_name": name, "flavor_data": name})
	c.add("containers", map[string]any{
		"owner": user, "container_ref": c.URL + "/keys/v1/containers/bag-one", "name": name, "type": "certificate",
		"secret_refs": []map[string]string{{"name": "certificate", "secret_ref": c.URL + "/keys/v1/secrets/leaf-one"}, {"name": "private_key", "secret_ref": c.URL + "/keys/v1/secrets/key-one"}},
	})
	c.add("networks", map[string]any{"id": "n", "name": name, "subnets": []string{"s"}, "router:external": true, "status": name})
	c.add("subnets", map[string]any{"id": "s", "name": name, "network_id": "n", "cidr": name})
	c.add("ports", map[string]any{"id": "p", "name": name, "device_owner": name, "fixed_ips": []map[string]string{{"ip_address": name}}})
	c.add("floatingips", map[string]any{"id": "f", "floating_ip_address": name, "floating_network_id": "n", "port_id": "port-one", "status": name})
	c.mu.Lock()
	c.objects["pools/pool-one/members"][0]["address"] = name
	c.mu.Unlock()
}

// refused are pages that say why there is nothing to be done: nothing is selected, and a listener needs the certificate.
var refused = []string{"/load-balancers/delete", "/certificates/One/containers/bag-one/delete"}

// Whatever people call their things is shown as text, on every page and in every tab and pane.
func TestHostileNamesEverywhere(t *testing.T) {
	for name, hostile := range map[string]string{
		"markup":        `<script>alert(1)</script>"><img src=x onerror=alert(2)>' onmouseover='alert(3)`,
		"a template":    `${7*7} {{7*7}} #{7*7} <%= 7*7 %>`,
		"right to left": "\u202eשלום\u200f עולם\u2066",
		"long":          strings.Repeat("Wide", 63) + "end",
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t)
			cloud.admins["ann"] = true
			cloud.fill(t, "ann", hostile)
			v := signedIn(t, serve(t, cloud), "ann")
			shown := 0
			for _, path := range everyPath(http.MethodGet) {
				for _, header := range [][]string{nil, {"HX-Request", "true"}} {
					got := v.get(path, header...)
					if got.Header.Get("Content-Type") != "application/json" {
						wantHarmless(t, path, got)
					}
					if got.StatusCode >= 400 && !slices.Contains(refused, path) {
						t.Errorf("%s: %d\n%s", path, got.StatusCode, got.text)
					}
					if strings.Contains(html.UnescapeString(got.text), hostile) {
						shown++
					}
				}
			}
			if shown < 60 {
				t.Errorf("the name is shown as it is on %d pages only", shown)
			}
			for _, path := range everyPath(http.MethodPost) {
				form := url.Values{"copy_as": {"yes"}, "id": {"One/one"}, "connect": {"network"}, "action": {"REDIRECT_TO_URL"}}
				for _, field := range strings.Fields("name description vip_network_id protocol default_pool_id cookie_name url_path expected_codes redirect_url key value flavor_data certificate m_name m_address m_port m_weight") {
					form.Set(field, hostile)
				}
				if !slices.Contains([]string{"/sign-in", "/sign-out", "/project", "/region", "/theme"}, path) {
					wantHarmless(t, path, v.post(path, form, "HX-Request", "true"))
				}
			}
		})
	}
}

// Nobody reaches what belongs to another project by any address, neither to read nor to write.
func TestIsolationEverywhere(t *testing.T) {
	cloud := newCloud(t)
	cloud.fill(t, "ann", "the-secret-plan")
	cloud.objects["floatingips"], cloud.objects["flavors"] = nil, nil // those belong to nobody in this cloud
	cloud.objects["networks"], cloud.objects["subnets"], cloud.objects["ports"] = nil, nil, nil
	root := serve(t, cloud)
	eve := signedIn(t, root, "eve")
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		for _, path := range everyPath(method) {
			if path == "/sign-out" {
				continue
			}
			for _, header := range [][]string{nil, {"HX-Request", "true"}} {
				got := eve.get(path, header...)
				if method == http.MethodPost {
					got = eve.post(path, url.Values{"name": {"mine"}, "id": {"One/one"}, "region": {"One"}, "project": {"p-ann"}}, header...)
				}
				if strings.Contains(got.text, "the-secret-plan") {
					t.Errorf("%s %s shows eve what is ann's", method, path)
				}
				named := strings.Contains(path, "one") && !strings.Contains(path, "?tab=") && !strings.Contains(path, "?open=") && path != "/load-balancers/One/one"
				if named && got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusForbidden {
					t.Errorf("%s %s: %d", method, path, got.StatusCode)
				}
			}
		}
	}
	for _, sent := range cloud.changes() {
		if strings.Contains(sent.path, "one") || strings.Contains(sent.path, "ann") {
			t.Errorf("eve has sent %s %s", sent.method, sent.path)
		}
	}
}
