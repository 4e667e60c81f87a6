package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// below is every page, for a load balancer with the id one.
var below = []string{
	"/", "/create", "/load-balancers", "/load-balancers?q=1&sort=name&dir=desc&open=one~pools~pool-one", "/load-balancers/new",
	"/load-balancers/One/one?tab=details", "/load-balancers/One/one?tab=listeners", "/load-balancers/One/one?tab=pools&pool=pool-one",
	"/load-balancers/One/one/modify", "/load-balancers/delete?id=One/one", "/load-balancers/One/one/listeners/new",
	"/load-balancers/One/one/listeners/listener-one/modify", "/load-balancers/One/one/listeners/listener-one/delete",
	"/load-balancers/One/one/pools/new", "/load-balancers/One/one/pools/pool-one/modify", "/load-balancers/One/one/pools/pool-one/members",
	"/load-balancers/One/one/pools/pool-one/health-monitor/modify", "/load-balancers/One/one/health-monitors/monitor-one/delete",
	"/load-balancers/One/one/floating-ip", "/floating-ips", "/floating-ips/new", "/networks", "/ports", "/servers",
}

// What people call their things is shown as text, wherever it is shown.
func TestHostileNames(t *testing.T) {
	hostile := `<script>alert(1)</script>"><img src=x onerror=alert(2)>' onmouseover='alert(3) javascript:alert(4)`
	cloud := newCloud(t)
	cloud.balancer("eve", "one", hostile)
	cloud.add("networks", map[string]any{"id": "n", "name": hostile, "subnets": []string{"s"}, "router:external": true, "status": hostile})
	cloud.add("subnets", map[string]any{"id": "s", "name": hostile, "network_id": "n", "cidr": hostile})
	cloud.add("ports", map[string]any{"id": "p", "name": hostile, "fixed_ips": []map[string]string{{"ip_address": hostile}}})
	cloud.add("floatingips", map[string]any{"id": "f", "floating_ip_address": hostile, "floating_network_id": "n", "port_id": "port-one", "status": hostile})
	cloud.add("servers/detail", map[string]any{"id": "v", "name": hostile, "status": hostile, "addresses": map[string]any{hostile: []map[string]string{{"addr": hostile}}}})
	v := signedIn(t, serve(t, cloud), "eve")
	for _, path := range below {
		for _, header := range [][]string{nil, {"HX-Request", "true"}} {
			got := v.get(path, header...)
			wantHarmless(t, path, got)
			if got.StatusCode != http.StatusOK {
				t.Errorf("%s: %d", path, got.StatusCode)
			}
		}
	}
	for _, path := range []string{"/load-balancers/new", "/load-balancers/One/one/listeners/new", "/load-balancers/One/one/pools/new", "/sign-in"} {
		form := url.Values{}
		for _, field := range strings.Fields("name description region user project domain next protocol protocol_port vip_address address connect custom type") {
			form.Set(field, hostile)
		}
		cloud.refuse(refusal{400, "You may not call it " + hostile, "name"})
		wantHarmless(t, path, v.post(path, form))
	}
}

// wantHarmless wants a page without anything that only the names could have brought.
func wantHarmless(t *testing.T, path string, got got) {
	t.Helper()
	for _, bad := range []string{"<script>alert", "<img src=x", "onerror=alert(2)>", `' onmouseover='`, `href="javascript:`} {
		if strings.Contains(got.text, bad) {
			t.Errorf("%s has %q in it", path, bad)
		}
	}
}

// inline finds what the pages' policy would not run: style and script within a page.
var inline = regexp.MustCompile(`(?i)<style|<script(?:[^>]*[^s]>|>)[^<]|\s(?:style|on[a-z]+)="`)

// Every page has what keeps it to what it came with, and nothing that this forbids.
func TestPagesKeepToThePolicy(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	v := signedIn(t, serve(t, cloud), "ann")
	for _, path := range append(below, "/sign-in", "/load-balancers/One/none") {
		got := v.get(path)
		policy := got.Header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		if found := inline.FindString(got.text); found != "" {
			t.Errorf("%s: %q is in the page", path, found)
		}
		if got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be stored", path)
		}
	}
}

// Nobody sees what belongs to another project, also not by its address; nobody at all sees anything without signing in.
func TestIsolation(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "the-secret-plan")
	root := serve(t, cloud)
	ann, eve, nobody := signedIn(t, root, "ann"), signedIn(t, root, "eve"), newVisitor(t, root)
	if got := ann.get("/load-balancers"); !strings.Contains(got.text, "the-secret-plan") {
		t.Errorf("ann does not see her load balancer: %d", got.StatusCode)
	}
	for _, path := range below {
		if got := eve.get(path); strings.Contains(got.text, "the-secret-plan") {
			t.Errorf("eve sees ann's load balancer at %s", path)
		}
		if strings.Contains(path, "/one/") {
			if got := eve.post(path, url.Values{"name": {"mine"}}); got.StatusCode != http.StatusNotFound && got.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("eve posts to %s: %d", path, got.StatusCode)
			}
		}
		if got := nobody.get(path); got.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got.Header.Get("Location"), "/console/sign-in") {
			t.Errorf("nobody at %s: %d %s", path, got.StatusCode, got.Header.Get("Location"))
		}
	}
	if sent := cloud.changes(); len(sent) > 0 {
		t.Errorf("eve has changed something: %v", sent)
	}
}

// A fault is shown at the field that it is about, in the API's words, and what was typed is still there.
func TestFaultsAtFields(t *testing.T) {
	tests := map[string]struct {
		path  string
		typed url.Values
		refusal
		field string // "" above the form
	}{
		"poise names the field":     {"/load-balancers/One/one/listeners/new", url.Values{"name": {"kept"}, "protocol": {"TCP"}, "protocol_port": {"80"}}, refusal{409, "Another Listener on this Load Balancer is already using protocol_port 80", "protocol_port"}, "protocol_port"},
		"Octavia's words name it":   {"/load-balancers/One/one/listeners/new", url.Values{"name": {"kept"}, "protocol": {"TCP"}, "protocol_port": {"80"}, "connection_limit": {"-5"}}, refusal{400, "Invalid input for field/attribute connection_limit. Value: '-5'. Value should be greater or equal to -1", ""}, "connection_limit"},
		"the field is not the form": {"/load-balancers/One/one/pools/new", url.Values{"name": {"kept"}}, refusal{403, "Quota has been met for resources: Pool", ""}, ""},
		"not a number":              {"/load-balancers/One/one/listeners/new", url.Values{"name": {"kept"}, "protocol": {"TCP"}, "protocol_port": {"eighty"}}, refusal{}, "protocol_port"},
		"a pool":                    {"/load-balancers/One/one/pools/pool-one/modify", url.Values{"name": {"kept"}, "session_persistence": {"APP_COOKIE"}, "cookie_name": {"a b"}}, refusal{400, "Validation failure: cookie_name is bad", "cookie_name"}, "cookie_name"},
		"a health monitor":          {"/load-balancers/One/one/pools/pool-one/health-monitor/modify", url.Values{"name": {"kept"}, "delay": {"1"}, "timeout": {"3"}}, refusal{400, "The timeout is too long", "timeout"}, "timeout"},
		"a load balancer":           {"/load-balancers/One/one/modify", url.Values{"name": {"kept"}, "description": {"x"}}, refusal{400, "You may not call it so", "name"}, "name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cloud := newCloud(t)
			cloud.balancer("ann", "one", "mylb")
			v := signedIn(t, serve(t, cloud), "ann")
			message := "is not a whole number"
			if test.refusal.message != "" {
				cloud.refuse(test.refusal)
				message = test.refusal.message
			}
			got := v.post(test.path, test.typed, "HX-Request", "true")
			if got.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(got.text, `value="kept"`) {
				t.Fatalf("%d:\n%s", got.StatusCode, got.text)
			}
			at := `role="alert"`
			if test.field != "" {
				at = `id="error-` + test.field + `"`
			}
			_, after, found := strings.Cut(got.text, at)
			if escaped := strings.NewReplacer("'", "&#39;").Replace(message); !found || !strings.Contains(after[:min(len(after), 700)], escaped) {
				t.Errorf("%s is not at %s:\n%s", message, at, got.text)
			}
		})
	}
}

// A pool's members are changed in one request; what the form does not show of them stays.
func TestMembersInOneRequest(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	cloud.add("servers/detail", map[string]any{"id": "v", "name": "web 2", "status": "ACTIVE", "addresses": map[string]any{"net": []map[string]string{{"addr": "10.0.0.6"}}}})
	v := signedIn(t, serve(t, cloud), "ann")
	path := "/load-balancers/One/one/pools/pool-one/members"
	line := url.Values{"m_id": {"member-one"}, "m_name": {"mylb"}, "m_address": {"10.0.0.5"}, "m_port": {"8081"}, "m_weight": {"7"}, "editing": {"-1"}}
	line.Set("add", "web+2 10.0.0.6")
	if got := v.post(path, line); !strings.Contains(got.text, `value="10.0.0.6"`) || len(cloud.changes()) > 0 {
		t.Fatalf("%d, %v:\n%s", got.StatusCode, cloud.changes(), got.text)
	}
	line.Del("add")
	for name, value := range map[string]string{"m_id": "", "m_name": "web 2", "m_address": "10.0.0.6", "m_port": "80", "m_weight": "1"} {
		line.Add(name, value)
	}
	if got := v.post(path, line); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("%d:\n%s", got.StatusCode, got.text)
	}
	want := []sentRequest{{"PUT", "pools/pool-one/members", map[string]any{"members": []any{
		map[string]any{"address": "10.0.0.5", "protocol_port": 8081.0, "weight": 7.0, "name": "mylb", "monitor_port": 9.0},
		map[string]any{"address": "10.0.0.6", "protocol_port": 80.0, "weight": 1.0, "name": "web 2"},
	}}}}
	if diff := cmp.Diff(want, cloud.changes(), cmp.AllowUnexported(sentRequest{})); diff != "" {
		t.Error(diff)
	}
}

// The list has every region, also one without load balancers, and shows what was asked for in the order that was asked for.
func TestList(t *testing.T) {
	cloud := newCloud(t)
	for i := range 3 {
		cloud.balancer("ann", fmt.Sprint("id", i), fmt.Sprint("lb", 2-i))
	}
	v := signedIn(t, serve(t, cloud), "ann")
	for path, want := range map[string][]string{
		"/load-balancers":                    {"One", "lb2", "lb1", "lb0", "Two", "lb2", "lb1", "lb0"},
		"/load-balancers?sort=name":          {"One", "lb0", "lb1", "lb2", "Two", "lb0", "lb1", "lb2"},
		"/load-balancers?sort=name&dir=desc": {"One", "lb2", "lb1", "lb0", "Two", "lb2", "lb1", "lb0"},
		"/load-balancers?q=id1+LB1":          {"One", "lb1", "Two", "lb1"},
		"/load-balancers?q=nothing":          {"One", "Two"},
	} {
		var shown []string
		for _, found := range regexp.MustCompile(`aria-label="(One|Two)"|aria-label="Select (lb\d)"`).FindAllStringSubmatch(v.get(path).text, -1) {
			shown = append(shown, found[1]+found[2])
		}
		if diff := cmp.Diff(want, shown); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}
