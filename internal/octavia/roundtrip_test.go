package octavia_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database"
	"poise/internal/database/databasetest"
)

// everyAttribute makes one object of each resource with every attribute that a client may write. Lists are in an order that
// no sorting gives; "reversed" below changes each object to the same lists the other way round.
var everyAttribute = []struct {
	path, envelope, as string // as: what stands for its id in what follows
	body               string
}{
	{"/loadbalancers", "loadbalancer", "{lb}", `{
		"name": "é", "description": "d", "admin_state_up": false, "tags": ["z", "a", "m"], "project_id": "` + projectA + `",
		"vip_subnet_id": "{subnet}", "vip_network_id": "` + networkID + `", "vip_port_id": "{missing}", "vip_address": "2001:db8::5",
		"vip_qos_policy_id": "` + policyID + `", "vip_sg_ids": ["` + policyID + `", "` + groupID + `", "` + missingID + `"],
		"additional_vips": [{"subnet_id": "` + policyID + `", "ip_address": "fd00::9", "port_id": "{missing}"},
		                    {"subnet_id": "` + groupID + `", "ip_address": "10.9.0.1", "port_id": "{missing}"}],
		"provider": "amphora", "flavor_id": "{flavor}", "availability_zone": "zone"}`},
	{"/loadbalancers", "loadbalancer", "{lb}", `{"vip_subnet_id": "{subnet}"}`}, // without groups, as the listener has CIDRs
	{"/listeners", "listener", "{http}", `{
		"name": "web", "description": "d", "admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `",
		"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "loadbalancer_id": "{lb}", "connection_limit": 7,
		"timeout_client_data": 1, "timeout_member_connect": 2, "timeout_member_data": 3, "timeout_tcp_inspect": 4,
		"allowed_cidrs": ["192.0.2.0/24", "10.0.0.0/8", "172.16.0.0/12", "10.0.0.0/16"],
		"insert_headers": {"X-Forwarded-Port": "True", "X-Forwarded-For": "false"},
		"default_tls_container_ref": "d", "sni_container_refs": ["s2", "s1", "s3"], "client_ca_tls_container_ref": "c",
		"client_crl_container_ref": "r", "client_authentication": "OPTIONAL", "tls_ciphers": "B:A",
		"tls_versions": ["TLSv1.3", "TLSv1.1", "TLSv1.2"], "alpn_protocols": ["http/1.1", "http/1.0", "h2"],
		"hsts_max_age": 9, "hsts_include_subdomains": true, "hsts_preload": true}`},
	{"/pools", "pool", "{pool}", `{
		"name": "p", "description": "d", "admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `",
		"protocol": "HTTP", "lb_algorithm": "LEAST_CONNECTIONS", "loadbalancer_id": "{lb}", "listener_id": "{http}",
		"session_persistence": {"type": "APP_COOKIE", "cookie_name": "c", "persistence_timeout": null, "persistence_granularity": null},
		"tls_enabled": true, "tls_container_ref": "t", "ca_tls_container_ref": "c", "crl_container_ref": "r", "tls_ciphers": "B:A",
		"tls_versions": ["TLSv1.3", "TLSv1.2"], "alpn_protocols": ["http/1.1", "h2"]}`},
	{"/pools", "pool", "{udp}", `{
		"protocol": "UDP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": "{lb}", "session_persistence": {"type": "SOURCE_IP",
		"cookie_name": null, "persistence_timeout": 0, "persistence_granularity": "FFFF:ffff:0::"}}`},
	{"/pools/{pool}/members", "member", "{member}", `{
		"name": "m", "admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `", "address": "2001:DB8::1",
		"protocol_port": 80, "weight": 0, "backup": true, "subnet_id": "{subnet}", "monitor_address": "2001:db8:0::2",
		"monitor_port": 81}`},
	{"/healthmonitors", "healthmonitor", "{monitor}", `{
		"name": "h", "admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `", "type": "HTTP", "delay": 9,
		"timeout": 8, "max_retries": 7, "max_retries_down": 6, "pool_id": "{pool}", "http_method": "HEAD", "url_path": "/x?y=1",
		"expected_codes": "204,200", "http_version": 1.1, "domain_name": "a.example"}`},
	{"/l7policies", "l7policy", "{policy}", `{
		"name": "y", "description": "d", "admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `",
		"action": "REDIRECT_PREFIX", "listener_id": "{http}", "redirect_prefix": "https://a.example", "redirect_http_code": 308,
		"redirect_url": null, "redirect_pool_id": null, "position": 1}`},
	{"/l7policies/{policy}/rules", "rule", "{rule}", `{
		"admin_state_up": false, "tags": ["z", "a"], "project_id": "` + projectA + `", "type": "HEADER", "compare_type": "CONTAINS",
		"key": "K", "value": "v", "invert": true}`},
}

// notRead are the attributes that answers do not have, and those whose value says nothing: Octavia has them so.
var notRead = map[string][]string{
	"loadbalancer":  {"tenant_id", "listeners", "pools"},
	"listener":      {"tenant_id", "loadbalancer_id", "default_pool_id", "default_pool", "l7policies"},
	"pool":          {"tenant_id", "loadbalancer_id", "listener_id", "members", "healthmonitor"},
	"member":        {"tenant_id", "request_sriov"},
	"healthmonitor": {"tenant_id", "pool_id"},
	"l7policy":      {"tenant_id", "rules"},
	"rule":          {"tenant_id"},
}

// TestReadIsWhatWasWritten holds that every attribute reads back as it was written, so that a Terraform plan after an apply is
// empty: in the answer to the change, and from a server that has nothing in memory.
func TestReadIsWhatWasWritten(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		a, other := realAPIOn(t, db), realAPIOn(t, db)
		flavor := a.flavorAndZone("zone")
		ids := map[string]string{"{subnet}": subnetID, "{missing}": missingID, "{flavor}": flavor}
		covered := map[string]map[string]bool{} // attributes by path
		for _, test := range everyAttribute {
			in := func(s string) string {
				for name, id := range ids {
					s = strings.ReplaceAll(s, name, id)
				}
				return s
			}
			wrote := decoded(t, in(test.body))
			if covered[test.path] == nil {
				covered[test.path] = map[string]bool{}
			}
			for name := range wrote {
				covered[test.path][name] = true
			}
			made := a.must("member", "POST", in(test.path), encoded(t, map[string]any{test.envelope: wrote}), 201)
			path := in(test.path) + "/" + id(made)
			ids[test.as] = id(made)
			compare := func(what string, got map[string]any) {
				t.Helper()
				for name, want := range wrote {
					if name == "tags" { // a set, which reads back sorted
						want = slices.SortedFunc(slices.Values(want.([]any)), func(a, b any) int { return strings.Compare(a.(string), b.(string)) })
					}
					if !slices.Contains(notRead[test.envelope], name) {
						if diff := cmp.Diff(want, got[name]); diff != "" {
							t.Errorf("%s of %s %s (-wrote +read)\n%s", name, test.envelope, what, diff)
						}
					}
				}
			}
			compare("in the answer to its creation", made)
			compare("as another server reads it", other.must("member", "GET", path, "", 200))

			changed := reversed(wrote)
			if len(changed) == 0 {
				continue
			}
			maps.Copy(wrote, changed)
			compare("in the answer to its change", a.must("member", "PUT", path, encoded(t, map[string]any{test.envelope: changed}), 200))
			compare("after its change, as another server reads it", other.must("member", "GET", path, "", 200))
		}
		for _, test := range everyAttribute {
			for _, name := range a.writable(test.path, test.envelope) {
				if !covered[test.path][name] && !slices.Contains(notRead[test.envelope], name) {
					t.Errorf("%s of %s is not tested", name, test.envelope)
				}
			}
		}
	})
}

// writable are the attributes that the API's document has for a creation.
func (a *api) writable(path, envelope string) []string {
	a.Helper()
	body := a.documented().Paths.Value(path).Post.RequestBody.Value.Content["application/json"].Schema.Value
	return slices.Collect(maps.Keys(body.Properties[envelope].Value.Properties))
}

// reversed are the lists of an object that can be changed, the other way round.
func reversed(wrote map[string]any) map[string]any {
	changed := map[string]any{}
	for name, v := range wrote {
		if list, ok := v.([]any); ok && name != "additional_vips" {
			list = slices.Clone(list)
			slices.Reverse(list)
			changed[name] = list
		}
	}
	return changed
}

func decoded(t *testing.T, text string) (object map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return object
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// flavorAndZone makes a flavor, whose id it returns, and an availability zone.
func (a *api) flavorAndZone(zone string) string {
	a.Helper()
	profile := id(a.must("admin", "POST", "/flavorprofiles",
		`{"flavorprofile": {"name": "f", "provider_name": "amphora", "flavor_data": "{}"}}`, 201))
	flavor := id(a.must("admin", "POST", "/flavors", `{"flavor": {"name": "f", "flavor_profile_id": "`+profile+`"}}`, 201))
	profile = id(a.must("admin", "POST", "/availabilityzoneprofiles",
		`{"availability_zone_profile": {"name": "z", "provider_name": "amphora", "availability_zone_data": "{}"}}`, 201))
	a.must("admin", "POST", "/availabilityzones",
		`{"availability_zone": {"name": "`+zone+`", "availability_zone_profile_id": "`+profile+`"}}`, 201)
	return flavor
}
