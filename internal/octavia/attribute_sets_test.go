package octavia_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds the whole answers for each resource: fresh, and once a node has acknowledged them. The files were
// compared with a recorded Octavia by key and by default.
func TestGolden(t *testing.T) {
	a := newAPI(t)
	tree := a.addPolicy("member", a.tree("member", "one"))
	paths := map[string]string{
		"l7policy":      "/l7policies/{policy}",
		"rule":          "/l7policies/{policy}/rules/{rule}",
		"loadbalancer":  "/loadbalancers/{lb}",
		"listener":      "/listeners/{listener}",
		"pool":          "/pools/{pool}",
		"member":        "/pools/{pool}/members/{member}",
		"healthmonitor": "/healthmonitors/{monitor}",
		"statuses":      "/loadbalancers/{lb}/status",
		"stats":         "/loadbalancers/{lb}/stats",
	}
	for name, path := range paths {
		t.Run("new "+name, func(t *testing.T) {
			golden(t, name+".new", a.send("member", "GET", tree.in(path), "").Body.String(), tree)
		})
	}
	a.control.acknowledge()
	for name, path := range paths {
		t.Run("active "+name, func(t *testing.T) { golden(t, name, a.send("member", "GET", tree.in(path), "").Body.String(), tree) })
	}
}

// golden compares an answer with the file of that name; ids stand there by their names.
func golden(t *testing.T, name, got string, tree tree) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(got), &v); err != nil {
		t.Fatalf("%s: %v", got, err)
	}
	indented, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text := tree.named(string(indented)) + "\n"
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// named is the opposite of [tree.in].
func (t tree) named(s string) string {
	if t.lb == "" { // the names are there already
		return s
	}
	return strings.NewReplacer(t.lb, "{lb}", t.listener, "{listener}", t.pool, "{pool}", t.member, "{member}",
		t.monitor, "{monitor}", t.http, "{http}", t.policy, "{policy}", t.rule, "{rule}").Replace(s)
}

// TestAttributeSets compares the names of attributes with those that a recorded Octavia answered with.
func TestAttributeSets(t *testing.T) {
	a := newAPI(t)
	tree := a.addPolicy("member", a.tree("member", "one"))
	alone := id(a.must("member", "POST", "/pools", tree.in(
		`{"pool": {"protocol": "TCP", "lb_algorithm": "SOURCE_IP", "loadbalancer_id": "{lb}"}}`), 201))
	const all = "id name provisioning_status operating_status admin_state_up project_id tenant_id created_at updated_at tags "
	const pool = all + "description protocol lb_algorithm session_persistence loadbalancers listeners members tls_container_ref " +
		"ca_tls_container_ref crl_container_ref tls_enabled tls_ciphers tls_versions alpn_protocols "
	tests := map[string]struct{ path, want string }{
		"load balancer": {"/loadbalancers/{lb}", all + "description vip_address vip_port_id vip_subnet_id vip_network_id vip_sg_ids " +
			"additional_vips listeners pools provider flavor_id vip_qos_policy_id availability_zone vip_vnic_type"},
		"listener": {"/listeners/{listener}", all + "description protocol protocol_port connection_limit default_tls_container_ref " +
			"sni_container_refs default_pool_id l7policies insert_headers loadbalancers timeout_client_data timeout_member_connect " +
			"timeout_member_data timeout_tcp_inspect client_ca_tls_container_ref client_authentication client_crl_container_ref " +
			"allowed_cidrs tls_ciphers tls_versions alpn_protocols hsts_max_age hsts_include_subdomains hsts_preload"},
		"pool with monitor":    {"/pools/{pool}", pool + "healthmonitor_id"},
		"pool without monitor": {"/pools/" + alone, pool},
		"member": {"/pools/{pool}/members/{member}", all + "address protocol_port weight backup subnet_id monitor_address " +
			"monitor_port vnic_type"},
		"health monitor": {"/healthmonitors/{monitor}", all + "type delay timeout max_retries max_retries_down http_method url_path " +
			"expected_codes pools http_version domain_name"},
		"policy": {"/l7policies/{policy}", all + "description action listener_id redirect_pool_id redirect_url redirect_prefix " +
			"redirect_http_code position rules"},
		"rule": {"/l7policies/{policy}/rules/{rule}", strings.Replace(all, "name ", "", 1) + "type compare_type key value invert"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := map[string]bool{}
			for name := range a.must("member", "GET", tree.in(test.path), "", 200) {
				got[name] = true
			}
			want := map[string]bool{}
			for _, name := range strings.Fields(test.want) {
				want[name] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTimestamps(t *testing.T) {
	a := newAPI(t)
	path := "/loadbalancers/" + a.loadBalancer("member", "one")
	fresh := a.must("member", "GET", path, "", 200)
	if fresh["updated_at"] != nil || fresh["created_at"] != "2026-01-02T03:04:06" {
		t.Errorf("created_at %v, updated_at %v", fresh["created_at"], fresh["updated_at"])
	}
	changed := a.must("member", "PUT", path, `{"loadbalancer": {"name": "two"}}`, 200)
	if s, _ := changed["updated_at"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`).MatchString(s) {
		t.Errorf("updated_at %v", changed["updated_at"])
	}
}
