package octavia_test

import (
	"regexp"
	"strings"
	"testing"

	"poise/internal/lb"
)

// wholeTree is what a recorded Octavia was asked for in trace 176.
const wholeTree = `{"loadbalancer": {"name": "p2", "vip_subnet_id": "` + subnetID + `", "tags": ["probe", "two"], "listeners": [{
	"name": "tl", "protocol": "HTTP", "protocol_port": 80,
	"default_pool": {"name": "tp", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN",
		"members": [{"address": "10.0.0.40", "protocol_port": 80}, {"address": "10.0.0.41", "protocol_port": 80}],
		"healthmonitor": {"type": "HTTP", "delay": 5, "timeout": 3, "max_retries": 3}},
	"l7policies": [{"action": "REDIRECT_TO_POOL", "redirect_pool": {"name": "rp", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP"},
		"rules": [{"type": "HOST_NAME", "compare_type": "EQUAL_TO", "value": "x.example"}]}]}]}}`

var anyID = regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f-]{27}"`)

// TestWholeTree makes a load balancer with all that is below it, and gets all of it for an answer.
func TestWholeTree(t *testing.T) {
	a := newAPI(t)
	made := a.send("member", "POST", "/loadbalancers", wholeTree)
	if made.Code != 201 {
		t.Fatal(made.Code, made.Body)
	}
	golden(t, "tree.new", anyID.ReplaceAllString(made.Body.String(), `"{id}"`), tree{})
	a.control.acknowledge()
	balancer := made.body["loadbalancer"].(map[string]any)
	status := a.send("member", "GET", "/loadbalancers/"+id(balancer)+"/status", "")
	golden(t, "tree.statuses", anyID.ReplaceAllString(status.Body.String(), `"{id}"`), tree{})
	for _, path := range []string{"/listeners", "/pools", "/healthmonitors", "/l7policies"} {
		for _, o := range a.list("member", path) {
			if o["provisioning_status"] != string(lb.Active) {
				t.Errorf("%s: %v", path, o)
			}
		}
	}
	a.must("member", "DELETE", "/loadbalancers/"+id(balancer)+"?cascade=true", "", 204)
}

// TestNamedPools refers to pools by their names, and takes those that nothing refers to.
func TestNamedPools(t *testing.T) {
	a := newAPI(t)
	a.must("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`", "pools": [
		{"name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "tls_enabled": true},
		{"name": "b", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}],
		"listeners": [{"protocol": "HTTP", "protocol_port": 80, "default_pool": {"name": "a"}},
			{"protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "x", "default_pool": {"name": "a"}}]}}`, 201)
	shared := a.list("member", "/pools?name=a")[0]
	if users, _ := shared["listeners"].([]any); len(users) != 2 || shared["tls_ciphers"] == nil {
		t.Errorf("pool %v", shared)
	}
}

// TestSubnetsOfWholeTree looks at the subnet of many members once.
func TestSubnetsOfWholeTree(t *testing.T) {
	a := newAPI(t)
	members := strings.TrimSuffix(manyMembers(20), ", ")
	a.must("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`", "pools": [
		{"name": "a", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [`+members+`]},
		{"name": "b", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [`+members+`]}]}}`, 201)
	if a.control.looks != 1 {
		t.Errorf("the subnet was looked at %d times", a.control.looks)
	}
	a.refused("member", "POST", "/loadbalancers", `{"loadbalancer": {"vip_subnet_id": "`+subnetID+`", "pools": [
		{"name": "a", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [`+strings.Replace(members, subnetID, missingID, 1)+`]}]}}`,
		400, missingID)
}

// TestPolicyOrder shows positions and the order in which a listener names its policies.
func TestPolicyOrder(t *testing.T) {
	a := newAPI(t)
	tree := a.addPolicy("member", a.tree("member", "one"))
	first := a.must("member", "POST", "/l7policies", tree.in(
		`{"l7policy": {"name": "first", "action": "REDIRECT_PREFIX", "redirect_prefix": "http://y.example/", "position": 1, "listener_id": "{http}"}}`), 201)
	if first["position"] != 1.0 || first["redirect_http_code"] != 302.0 {
		t.Errorf("%v", first)
	}
	if names := a.names("member", "/l7policies?sort=position&listener_id="+tree.http); names != "first y" {
		t.Errorf("%q", names)
	}
	shown := a.must("member", "GET", tree.in("/listeners/{http}"), "", 200)["l7policies"].([]any)
	if len(shown) != 2 || shown[0].(map[string]any)["id"] != id(first) {
		t.Errorf("%v", shown)
	}
	a.must("member", "DELETE", "/l7policies/"+id(first), "", 204)
	if left := a.must("member", "GET", tree.in("/l7policies/{policy}"), "", 200); left["position"] != 1.0 {
		t.Errorf("%v", left)
	}
	if rules := a.list("member", tree.in("/l7policies/{policy}/rules?type=PATH&value=/x&invert=true")); len(rules) != 1 {
		t.Errorf("%v", rules)
	}
}
