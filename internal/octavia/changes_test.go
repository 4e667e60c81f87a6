package octavia_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/lb"
	"poise/internal/rest"
)

// TestUpdates changes single attributes of each resource: values, other spellings of values, and nulls.
func TestUpdates(t *testing.T) {
	tests := []struct{ path, given, want string }{
		{"/loadbalancers/{lb}", `{}`, `{"name": "one"}`},
		{"/loadbalancers/{lb}", `{"name": "two", "description": "d"}`, `{"name": "two", "description": "d"}`},
		{"/loadbalancers/{lb}", `{"name": null, "description": null}`, `{"name": "", "description": ""}`},
		{"/loadbalancers/{lb}", `{"admin_state_up": null}`, `{"admin_state_up": false}`},
		{"/loadbalancers/{lb}", `{"admin_state_up": "on"}`, `{"admin_state_up": true}`},
		{"/loadbalancers/{lb}", `{"admin_state_up": 0}`, `{"admin_state_up": false}`},
		{"/loadbalancers/{lb}", `{"tags": ["b", "a", "b"]}`, `{"tags": ["a", "b"]}`},
		{"/loadbalancers/{lb}", `{"tags": null}`, `{"tags": ["a", "b"]}`},
		{"/loadbalancers/{lb}", `{"tags": []}`, `{"tags": []}`},

		{"/listeners/{listener}", `{"connection_limit": "200"}`, `{"connection_limit": 200}`},
		{"/listeners/{listener}", `{"connection_limit": 7.9}`, `{"connection_limit": 7}`},
		{"/listeners/{listener}", `{"connection_limit": true}`, `{"connection_limit": 1}`},
		{"/listeners/{listener}", `{"connection_limit": null}`, `{"connection_limit": -1}`},
		{"/listeners/{listener}", `{"timeout_client_data": 0, "timeout_member_connect": 1, "timeout_member_data": 2, "timeout_tcp_inspect": 3}`, `{"timeout_client_data": 0, "timeout_member_connect": 1, "timeout_member_data": 2, "timeout_tcp_inspect": 3}`},
		{"/listeners/{listener}", `{"timeout_client_data": null, "timeout_member_connect": null, "timeout_member_data": null, "timeout_tcp_inspect": null}`, `{"timeout_client_data": 50000, "timeout_member_connect": 5000, "timeout_member_data": 50000, "timeout_tcp_inspect": 0}`},
		{"/listeners/{listener}", `{"allowed_cidrs": ["192.0.2.1", "10.1.2.3/8", "10.0.0.0/8"]}`, `{"allowed_cidrs": ["192.0.2.1/32", "10.0.0.0/8"]}`},
		{"/listeners/{listener}", `{"allowed_cidrs": []}`, `{"allowed_cidrs": null}`},
		{"/listeners/{listener}", `{"default_pool_id": null}`, `{"default_pool_id": null}`},
		{"/listeners/{listener}", `{"default_pool_id": "{pool}"}`, `{"default_pool_id": "{pool}"}`},

		{"/pools/{pool}", `{"lb_algorithm": "SOURCE_IP_PORT"}`, `{"lb_algorithm": "SOURCE_IP_PORT"}`},
		{"/pools/{pool}", `{"session_persistence": {"type": "SOURCE_IP"}}`, `{"session_persistence": {"type": "SOURCE_IP", "cookie_name": null, "persistence_timeout": null, "persistence_granularity": null}}`},
		{"/pools/{pool}", `{"session_persistence": {}}`, `{"session_persistence": {"type": "SOURCE_IP", "cookie_name": null, "persistence_timeout": null, "persistence_granularity": null}}`},
		{"/pools/{pool}", `{"session_persistence": null}`, `{"session_persistence": null}`},

		{"/pools/{pool}", `{"session_persistence": {"type": "APP_COOKIE", "cookie_name": "c"}}`, `{"session_persistence": {"type": "APP_COOKIE", "cookie_name": "c", "persistence_timeout": null, "persistence_granularity": null}}`},
		{"/pools/{pool}", `{"tls_enabled": true, "tls_container_ref": "c", "ca_tls_container_ref": "a", "crl_container_ref": "r"}`, `{"tls_enabled": true, "tls_container_ref": "c", "ca_tls_container_ref": "a", "crl_container_ref": "r", "tls_versions": null}`},
		{"/pools/{pool}", `{"tls_versions": ["TLSv1.3"], "alpn_protocols": ["h2"], "tls_ciphers": "A:B"}`, `{"tls_versions": ["TLSv1.3"], "alpn_protocols": ["h2"], "tls_ciphers": "A:B"}`},
		{"/pools/{pool}", `{"tls_enabled": null, "alpn_protocols": null}`, `{"tls_enabled": false, "alpn_protocols": null}`},

		{"/listeners/{http}", `{"insert_headers": {"X-Forwarded-For": "True", "X-Real-IP": null}}`, `{"insert_headers": {"X-Forwarded-For": "True", "X-Real-IP": null}}`},
		{"/listeners/{http}", `{"insert_headers": null}`, `{"insert_headers": {}}`},
		{"/listeners/{http}", `{"tls_versions": null}`, `{"tls_versions": ["TLSv1.2", "TLSv1.3"]}`},
		{"/listeners/{http}", `{"client_authentication": null, "sni_container_refs": null, "hsts_max_age": null}`, `{"client_authentication": "NONE", "sni_container_refs": [], "hsts_max_age": null}`},

		{"/l7policies/{policy}", `{"action": "REDIRECT_TO_URL", "redirect_url": "https://a.example/?x=1", "redirect_http_code": "308"}`, `{"action": "REDIRECT_TO_URL", "redirect_url": "https://a.example/?x=1", "redirect_http_code": 308}`},
		{"/l7policies/{policy}", `{"action": "REJECT"}`, `{"action": "REJECT", "redirect_url": null, "redirect_http_code": null}`},
		{"/l7policies/{policy}/rules/{rule}", `{"type": "HEADER", "key": "k", "value": "v", "compare_type": "EQUAL_TO", "invert": null}`, `{"type": "HEADER", "key": "k", "value": "v", "compare_type": "EQUAL_TO", "invert": false}`},

		{"/pools/{pool}/members/{member}", `{"weight": 0, "backup": true, "monitor_port": 81, "monitor_address": "10.9.9.9"}`, `{"weight": 0, "backup": true, "monitor_port": 81, "monitor_address": "10.9.9.9"}`},
		{"/pools/{pool}/members/{member}", `{"weight": null, "backup": null, "monitor_port": null, "monitor_address": null}`, `{"weight": 1, "backup": false, "monitor_port": null, "monitor_address": null}`},

		{"/healthmonitors/{monitor}", `{"delay": "7", "timeout": 8, "max_retries": 10, "max_retries_down": 1}`, `{"delay": 7, "timeout": 8, "max_retries": 10, "max_retries_down": 1}`},
		{"/healthmonitors/{monitor}", `{"max_retries_down": null}`, `{"max_retries_down": 3}`},
	}
	a := newAPI(t)
	tree := a.addPolicy("member", a.tree("member", "one"))
	envelopes := map[string]string{"lo": "loadbalancer", "li": "listener", "po": "pool", "he": "healthmonitor", "l7": "l7policy"}
	for _, test := range tests {
		t.Run(test.path+" "+test.given, func(t *testing.T) {
			a.TB = t
			envelope := envelopes[test.path[1:3]]
			if test.path == "/pools/{pool}/members/{member}" {
				envelope = "member"
			}
			if test.path == "/l7policies/{policy}/rules/{rule}" {
				envelope = "rule"
			}
			got := a.must("member", "PUT", tree.in(test.path), tree.in(`{"`+envelope+`": `+test.given+`}`), 200)
			shown := a.must("member", "GET", tree.in(test.path), "", 200)
			if diff := cmp.Diff(shown, got); diff != "" {
				t.Errorf("PUT and GET differ (-get +put)\n%s", diff)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(tree.in(test.want)), &want); err != nil {
				t.Fatal(err)
			}
			for name, v := range want {
				if diff := cmp.Diff(v, got[name]); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			}
		})
	}
}

// TestSpellings creates with other spellings of ids and addresses.
func TestSpellings(t *testing.T) {
	a := newAPI(t)
	got := a.must("member", "POST", "/loadbalancers",
		`{"loadbalancer": {"vip_subnet_id": "A2CFEC3CFED9441487F9BFADB076BBD9", "vip_address": "::FFFF:10.0.0.9", "name": null, "listeners": [], "pools": null, "provider": null}}`, 201)
	if got["vip_subnet_id"] != subnetID || got["vip_address"] != "10.0.0.9" || got["name"] != "" || got["provider"] != "poise" {
		t.Errorf("%v", got)
	}
	if aliased := a.must("member", "POST", "/loadbalancers",
		`{"loadbalancer": {"vip_network_id": "`+networkID+`", "provider": "amphora"}}`, 201); aliased["provider"] != "amphora" {
		t.Errorf("provider %v", aliased["provider"])
	}
}

// TestLife follows one tree from creation to deletion, statuses included.
func TestLife(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	status := func(path string) string {
		a.Helper()
		got := a.send("member", "GET", tree.in(path), "")
		for _, v := range got.body {
			if o, ok := v.(map[string]any); ok && got.Code == 200 {
				return fmt.Sprint(o["provisioning_status"], " ", o["operating_status"])
			}
		}
		return http.StatusText(got.Code)
	}
	expect := func(what string, want map[string]string) {
		a.Helper()
		for path, want := range want {
			if got := status(path); got != want {
				t.Errorf("%s: %s is %s, want %s", what, path, got, want)
			}
		}
	}
	const root, listener, pool, member, monitor = "/loadbalancers/{lb}", "/listeners/{listener}", "/pools/{pool}",
		"/pools/{pool}/members/{member}", "/healthmonitors/{monitor}"
	fresh := "PENDING_CREATE OFFLINE"
	expect("new", map[string]string{root: fresh, listener: fresh, pool: fresh, member: fresh, monitor: fresh})
	a.control.acknowledge()
	well := "ACTIVE ONLINE"
	expect("acknowledged", map[string]string{root: well, listener: well, pool: well, member: well, monitor: well})

	a.must("member", "PUT", tree.in(member), `{"member": {"weight": 5}}`, 200)
	changed := "PENDING_UPDATE ONLINE"
	expect("member changed", map[string]string{root: changed, listener: changed, pool: changed, member: changed, monitor: well})
	a.must("member", "PUT", tree.in(root), `{"loadbalancer": {"name": "x"}}`, 200) // a pending load balancer takes changes
	a.control.acknowledge()

	a.must("member", "DELETE", tree.in(monitor), "", 204)
	expect("monitor deleted", map[string]string{monitor: "PENDING_DELETE ONLINE", pool: changed, member: well})
	a.refused("member", "PUT", tree.in(monitor), `{"healthmonitor": {}}`, 409, "is immutable and cannot be updated.")
	a.control.acknowledge()
	expect("monitor gone", map[string]string{monitor: "Not Found", member: "ACTIVE NO_MONITOR"})

	a.must("member", "DELETE", tree.in(root)+"?cascade=True", "", 204)
	expect("deleted", map[string]string{root: "PENDING_DELETE ONLINE", member: "PENDING_DELETE NO_MONITOR"})
	a.refused("member", "DELETE", tree.in(root), "", 409, "Invalid state PENDING_DELETE of loadbalancer resource "+tree.lb)
	a.refused("member", "POST", tree.in("/pools/{pool}/members"), `{"member": {"address": "10.0.0.9", "protocol_port": 1}}`, 409, "is immutable")
	a.control.acknowledge()
	expect("gone", map[string]string{root: "Not Found", listener: "Not Found", pool: "Not Found", member: "Not Found"})
}

func TestDeletes(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	for _, path := range []string{"/pools/{pool}/members/{member}", "/healthmonitors/{monitor}", "/pools/{pool}", "/listeners/{listener}", "/loadbalancers/{lb}"} {
		got := a.send("member", "DELETE", tree.in(path), "")
		if got.Code != 204 || got.Body.Len() != 0 || got.Header().Get("Content-Type") != "" {
			t.Errorf("DELETE %s: %d %s", path, got.Code, got.Body)
		}
	}
	a.control.acknowledge()
	if all := a.list("member", "/loadbalancers"); len(all) != 0 {
		t.Errorf("left: %v", all)
	}
}

// TestBatch replaces the members of a pool (octavia-resources.md §4.1).
func TestBatch(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	a.must("member", "PUT", tree.in("/pools/{pool}/members/{member}"), `{"member": {"weight": 9, "backup": true, "tags": ["t"]}}`, 200)
	a.control.acknowledge()
	batch := func(query, body string) string {
		a.Helper()
		got := a.send("member", "PUT", tree.in("/pools/{pool}/members"+query), tree.in(body))
		if got.Code != 202 || got.Body.Len() != 0 {
			t.Fatalf("%d %s", got.Code, got.Body)
		}
		a.control.acknowledge()
		shown := ""
		for _, m := range a.list("member", tree.in("/pools/{pool}/members?sort=address,protocol_port")) {
			shown += fmt.Sprintf("%v:%v*%v%v ", m["address"], m["protocol_port"], m["weight"], m["tags"])
		}
		return shown
	}
	for _, step := range []struct{ query, body, want string }{
		{"?additive_only=true", `{"members": [{"address": "10.0.0.31", "protocol_port": 80}]}`, "10.0.0.20:80*9[t] 10.0.0.31:80*1[] "},
		{"", `{"members": [{"address": "10.0.0.20", "protocol_port": "80"}, {"address": "10.0.0.40", "protocol_port": 80, "weight": 3, "subnet_id": "{subnet}"}]}`, "10.0.0.20:80*1[t] 10.0.0.40:80*3[] "},
		{"?additive_only=false", `{"members": [{"address": "10.0.0.40", "protocol_port": 81}]}`, "10.0.0.40:81*1[] "},
		{"?additive_only=1", `{"members": []}`, "10.0.0.40:81*1[] "},
		{"", `{"members": []}`, ""},
		{"", `{"members": []}`, ""},
	} {
		if got := batch(step.query, step.body); got != step.want {
			t.Errorf("%s %s: %q, want %q", step.query, step.body, got, step.want)
		}
	}
}

// TestLargeBatch sends more members than other bodies have room for; their one subnet is looked at once.
func TestLargeBatch(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	const many = 2_000
	body := `{"members": [` + strings.TrimSuffix(manyMembers(many), ", ") + `]}`
	if len(body) <= rest.MaxBody {
		t.Fatal("the body is no larger than others may be")
	}
	a.control.looks = 0
	if got := a.send("member", "PUT", tree.in("/pools/{pool}/members"), body); got.Code != 202 {
		t.Fatalf("%d %s", got.Code, got.Body)
	}
	if a.control.looks != 1 {
		t.Errorf("the subnet was looked at %d times", a.control.looks)
	}
	a.control.acknowledge()
	if s, err := a.control.Snapshot(t.Context(), tree.lb); err != nil || len(s.Tree.Pools[0].Members) != many {
		t.Errorf("not %d members (%v)", many, err)
	}
	a.refused("member", "PUT", tree.in("/pools/{pool}/members"), strings.Repeat(" ", 200*lb.MaxMembers+1), 413, "too large")
	huge := a.send("member", "PUT", tree.in("/pools/{pool}/members"), `{"members": {"x": "`+strings.Repeat("ä", 100_000)+`"}}`)
	if huge.Code != 400 || !strings.Contains(huge.message(), "Value not a valid list") || huge.Body.Len() > 10_000 {
		t.Errorf("a huge value that is refused: %d with %d bytes", huge.Code, huge.Body.Len())
	}
}

// manyMembers are members of a body, each on the tests' subnet.
func manyMembers(n int) string {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, `{"address": "10.1.%d.%d", "protocol_port": 80, "subnet_id": %q}, `, i/250, i%250, subnetID)
	}
	return all.String()
}

// TestAddressesAsWritten repeats a member's addresses in their owner's words, and compares what they mean.
func TestAddressesAsWritten(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	path := tree.in("/pools/{pool}/members")
	shown := func(m map[string]any) string { return fmt.Sprintf("%v %v", m["address"], m["monitor_address"]) }
	const long, longMonitor = "2001:db8:0:0:0:0:0:1", "2001:DB8::2"
	m := a.must("member", "POST", path,
		`{"member": {"address": "`+long+`", "protocol_port": 80, "monitor_address": "`+longMonitor+`"}}`, 201)
	a.control.acknowledge()
	one := path + "/" + id(m)
	if got, want := shown(a.must("member", "GET", one, "", 200)), long+" "+longMonitor; got != want {
		t.Errorf("created: %s, want %s", got, want)
	}
	for _, same := range []string{long, "2001:db8::1", "2001:0DB8::0001"} {
		a.refused("member", "POST", path, `{"member": {"address": "`+same+`", "protocol_port": 80}}`, 409, "already using ip 2001:db8::1 on")
		if got := a.list("member", path+"?address="+same); len(got) != 1 {
			t.Errorf("%s finds %v", same, got)
		}
	}
	if got := a.list("member", path+"?sort=address:desc&fields=address"); fmt.Sprint(got) != fmt.Sprintf("[map[address:%s] map[address:10.0.0.20]]", long) {
		t.Errorf("sorted: %v", got)
	}
	if got, want := shown(a.must("member", "PUT", one, `{"member": {"monitor_address": "::FFFF:10.0.0.9"}}`, 200)), long+" ::FFFF:10.0.0.9"; got != want {
		t.Errorf("updated: %s, want %s", got, want)
	}
	if got, want := shown(a.must("member", "PUT", one, `{"member": {"monitor_address": null}}`, 200)), long+" <nil>"; got != want {
		t.Errorf("reset: %s, want %s", got, want)
	}
	if got := a.send("member", "PUT", path, `{"members": [{"address": "2001:db8:0::1", "protocol_port": 80}]}`); got.Code != 202 {
		t.Fatalf("batch: %d %s", got.Code, got.Body)
	}
	if got, want := shown(a.must("member", "GET", one, "", 200)), "2001:db8:0::1 <nil>"; got != want {
		t.Errorf("listed in a batch: %s, want %s", got, want)
	}
}

func TestStatusReasons(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	for _, path := range []string{"/loadbalancers/{lb}", "/listeners/{listener}", "/pools/{pool}", "/pools/{pool}/members/{member}", "/healthmonitors/{monitor}"} {
		if _, ok := a.must("member", "GET", tree.in(path), "", 200)["status_reason"]; ok {
			t.Errorf("%s: status_reason without asking", path)
		}
		if reason, ok := a.must("member", "GET", tree.in(path)+"?status_reasons=true", "", 200)["status_reason"]; !ok || reason != "" {
			t.Errorf("%s: status_reason %v", path, reason)
		}
	}
	if got := a.list("member", "/pools?status_reasons=true&fields=id"); len(got[0]) != 2 {
		t.Errorf("list: %v", got)
	}
}

// TestBatchNulls sends each attribute of a member in a batch update as null, and leaves it out (octavia-resources.md §4.1).
func TestBatchNulls(t *testing.T) {
	const full = `"name": "n", "tags": ["t"], "weight": 9, "backup": true, "admin_state_up": true, "subnet_id": "{subnet}",
		"monitor_address": "10.9.9.9", "monitor_port": 81`
	tests := []struct {
		attribute       string
		null, leftOut   any
		refusedInSingle bool // a single PUT does not have it
	}{
		{"name", "", "n", false},
		{"tags", []any{"t"}, []any{"t"}, false},
		{"weight", 1.0, 1.0, false},
		{"backup", false, false, false},
		{"admin_state_up", false, true, false},
		{"subnet_id", nil, subnetID, true},
		{"monitor_address", nil, nil, false},
		{"monitor_port", nil, nil, false},
	}
	for _, test := range tests {
		t.Run(test.attribute, func(t *testing.T) {
			a := newAPI(t)
			tree := a.tree("member", "one")
			path := tree.in("/pools/{pool}/members")
			key := `{"address": "10.1.1.1", "protocol_port": 80`
			one := path + "/" + id(a.must("member", "POST", path, tree.in(`{"member": `+key+`, `+full+`}}`), 201))
			shown := func(what string, want any) {
				t.Helper()
				if diff := cmp.Diff(want, a.must("member", "GET", one, "", 200)[test.attribute]); diff != "" {
					t.Errorf("%s (-want +got)\n%s", what, diff)
				}
			}
			batch := func(attributes string) {
				t.Helper()
				if got := a.send("member", "PUT", path, tree.in(`{"members": [`+key+attributes+`}]}`)); got.Code != 202 {
					t.Fatalf("%d %s", got.Code, got.Body)
				}
			}
			batch("")
			shown("left out", test.leftOut)
			batch(", " + full)
			batch(`, "` + test.attribute + `": null`)
			shown("null", test.null)
			batch(", " + full)
			single := `{"member": {"` + test.attribute + `": null}}`
			if test.refusedInSingle {
				a.refused("member", "PUT", one, single, 400, "Unknown attribute")
				return
			}
			a.must("member", "PUT", one, single, 200)
			shown("null in a single change", test.null)
		})
	}
}

// TestBatchMovesNobodyOutOfSight refuses an existing member on a subnet that the caller does not see.
func TestBatchMovesNobodyOutOfSight(t *testing.T) {
	a := newAPI(t)
	tree := a.tree("member", "one")
	a.refused("member", "PUT", tree.in("/pools/{pool}/members"),
		tree.in(`{"members": [{"address": "10.0.0.20", "protocol_port": 80, "subnet_id": "{missing}"}]}`), 400, "Subnet "+missingID+" not found.")
}
