package console_test

import (
	"html"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/hashicorp/hcl/v2"
)

// copies are the texts that a form's section "Copy as" has: the commands, and the blocks.
func (v *visitor) copies(path string, form url.Values) (commands, blocks string) {
	v.Helper()
	form.Set("copy_as", "yes")
	got := v.post(path, form, "HX-Request", "true")
	if got.StatusCode != http.StatusOK {
		v.Fatalf("%s: %d\n%s", path, got.StatusCode, got.text)
	}
	for _, found := range regexp.MustCompile(`data-copy="([^"]*)" data-says="The (\w+)`).FindAllStringSubmatch(got.text, -1) {
		if found[2] == "Commands" {
			commands = html.UnescapeString(found[1])
		} else {
			blocks = html.UnescapeString(found[1])
		}
	}
	return commands, blocks
}

// typed are the words that a shell gives to each openstack command of a text.
func typed(t *testing.T, commands string) (all [][]string) {
	t.Helper()
	bash := exec.Command("bash", "-c", "openstack() { printf '%s\\0' \"$@\"; printf '\\1'; }\n"+commands)
	bash.Env, bash.Dir = []string{"LC_ALL=C.UTF-8", "PATH="}, t.TempDir()
	said, err := bash.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v: %s", commands, err, said)
	}
	for _, words := range strings.Split(strings.TrimSuffix(string(said), "\x01"), "\x01") {
		all = append(all, strings.Split(strings.TrimSuffix(words, "\x00"), "\x00"))
	}
	return all
}

// read are the attributes of each block as Terraform would read them.
func read(t *testing.T, blocks string) (all []map[string]string) {
	t.Helper()
	file, problems := hclsyntax.ParseConfig([]byte(blocks), "main.tf", hcl.InitialPos)
	if problems.HasErrors() {
		t.Fatalf("%s\n%v", blocks, problems)
	}
	for _, block := range file.Body.(*hclsyntax.Body).Blocks {
		values := map[string]string{"": strings.Join(block.Labels, " ")}
		for name, attribute := range block.Body.Attributes {
			value, problems := attribute.Expr.Value(nil)
			if problems.HasErrors() {
				t.Fatalf("%s\n%v", blocks, problems)
			}
			if value.Type() == cty.String {
				values[name] = value.AsString()
			}
		}
		all = append(all, values)
	}
	return all
}

// Whatever somebody types arrives as it was typed, in a shell and in Terraform, and neither does anything else with it.
func TestCopyAsCannotBeTricked(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	v := signedIn(t, serve(t, cloud), "ann")
	for _, name := range []string{
		"plain", "two words", "it's", `$(touch x)`, "`touch x`", "a\nb\tc", `${7*7} %{ if true }x%{ endif } $${x} $$${y}`, `"; exit 1; "`, "\x1b[201~\nexit 1",
		"right \u202e to left", "שלום", "-x", "--help", `back\slash \u0041 \n`, "é 💥", "!!", "#", "~", "a=b", "a\u2028b", strings.Repeat("'", 255), `\'`, "\U000e0001",
		"$'x'", "<script>alert(1)</script>",
	} {
		form := url.Values{"name": {name}, "protocol": {"TCP"}, "protocol_port": {"80"}}
		commands, blocks := v.copies("/load-balancers/One/one/listeners/new", form)
		want := [][]string{{"loadbalancer", "listener", "create", "--name=" + name, "--protocol=TCP", "--protocol-port=80", "one"}}
		if diff := cmp.Diff(want, typed(t, commands)); diff != "" {
			t.Errorf("%q: %s\n%s", name, diff, commands)
		}
		if strings.ContainsAny(commands, "\x1b\u202e\u2028") {
			t.Errorf("%q is in the commands as it is", commands)
		}
		if found := read(t, blocks); len(found) != 1 || found[0]["name"] != name {
			t.Errorf("%q: %v\n%s", name, found, blocks)
		}
	}
	if sent := cloud.changes(); len(sent) > 0 {
		t.Errorf("asking has changed something: %v", sent)
	}
}

// Each form says what it would do.
func TestCopyAs(t *testing.T) {
	cloud := newCloud(t)
	cloud.balancer("ann", "one", "mylb")
	cloud.add("networks", map[string]any{"id": "out", "name": "ext-net", "router:external": true})
	cloud.add("floatingips", map[string]any{"id": "f", "floating_ip_address": "198.51.100.7"})
	v := signedIn(t, serve(t, cloud), "ann")
	const below = "/load-balancers/One/one"
	tests := map[string]struct {
		path     string
		form     url.Values
		commands []string // their words, separated by spaces
		labels   []string
	}{
		"a load balancer": {
			"/load-balancers/new",
			url.Values{"name": {"web"}, "connect": {"subnet"}, "vip_subnet_id": {"s"}},
			[]string{"loadbalancer create --name=web --vip-subnet-id=s"},
			[]string{"openstack_lb_loadbalancer_v2 web"},
		},
		"a changed load balancer": {
			below + "/modify",
			url.Values{"name": {"web"}, "description": {""}, "floating_ip": {"f"}},
			[]string{"loadbalancer set --name=web --description= one", "floating ip set --port=port-one f"},
			[]string{"openstack_lb_loadbalancer_v2 web", "openstack_networking_floatingip_associate_v2 this"},
		},
		"a listener with much in it": {
			below + "/listeners/new",
			url.Values{
				"name": {"tls"}, "protocol": {"TERMINATED_HTTPS"}, "protocol_port": {"443"}, "allowed_cidrs": {"10.0.0.0/8 192.0.2.0/24"},
				"default_tls_container_ref": {"type"}, "default_tls_container_typed": {"http://k/1"}, "sni_container_refs": {"", "http://k/2", "http://k/3"},
				"insert_headers": {"", "X-Forwarded-For", "X-Forwarded-Proto"}, "tls_versions": {"", "TLSv1.3"}, "hsts_max_age": {"60"}, "hsts_preload": {"", "yes"},
			},
			[]string{"loadbalancer listener create --name=tls --protocol=TERMINATED_HTTPS --protocol-port=443 --allowed-cidr=10.0.0.0/8 --allowed-cidr=192.0.2.0/24 " +
				"--default-tls-container-ref=http://k/1 --sni-container-refs http://k/2 http://k/3 --tls-version=TLSv1.3 --hsts-max-age=60 --hsts-preload " +
				"--insert-headers=X-Forwarded-For=true,X-Forwarded-Proto=true one"},
			[]string{"openstack_lb_listener_v2 tls"},
		},
		"a listener without a pool any more": {
			below + "/listeners/listener-one/modify",
			url.Values{"name": {"web"}, "protocol": {"TCP"}, "default_pool_id": {""}, "connection_limit": {"-1"}},
			[]string{
				"loadbalancer listener set --name=web --description=mylb --connection-limit=-1 --timeout-client-data=0 --timeout-member-connect=0 --timeout-member-data=0 --timeout-tcp-inspect=0 listener-one",
				"loadbalancer listener unset --default-pool --allowed-cidrs listener-one",
			},
			[]string{"openstack_lb_listener_v2 web"},
		},
		"a pool": {
			below + "/pools/new",
			url.Values{"name": {"p"}, "protocol": {"HTTP"}, "lb_algorithm": {"SOURCE_IP"}, "session_persistence": {"APP_COOKIE"}, "cookie_name": {"sid"}},
			[]string{"loadbalancer pool create --name=p --protocol=HTTP --lb-algorithm=SOURCE_IP --loadbalancer=one --session-persistence=type=APP_COOKIE,cookie_name=sid"},
			[]string{"openstack_lb_pool_v2 p"},
		},
		"members that are new, changed and gone": {
			below + "/pools/pool-one/members",
			url.Values{"m_id": {""}, "m_name": {"web"}, "m_address": {"10.0.0.6"}, "m_port": {"80"}, "m_weight": {"2"}},
			[]string{"loadbalancer member create --name=web --address=10.0.0.6 --protocol-port=80 --weight=2 pool-one", "loadbalancer member delete pool-one member-one"},
			[]string{"openstack_lb_member_v2 web"},
		},
		"a health monitor": {
			below + "/pools/pool-one/health-monitor/new",
			url.Values{"name": {"m"}, "type": {"HTTP"}, "delay": {"5"}, "timeout": {"3"}, "max_retries": {"1"}, "max_retries_down": {"2"}, "url_path": {"/up"}},
			[]string{"loadbalancer healthmonitor create --name=m --type=HTTP --delay=5 --timeout=3 --max-retries=1 --max-retries-down=2 --url-path=/up pool-one"},
			[]string{"openstack_lb_monitor_v2 m"},
		},
		"a floating IP": {
			"/floating-ips/new",
			url.Values{"floating_network_id": {"out"}, "assign": {"balancer"}, "port_id": {"port-one"}},
			[]string{"floating ip create --port=port-one out"},
			[]string{"openstack_networking_floatingip_v2 this"},
		},
		"deletions": {
			"/load-balancers/delete", url.Values{"id": {"One/one"}}, []string{"loadbalancer delete --cascade one"}, nil,
		},
		"a pool that is deleted": {below + "/pools/pool-one/delete", url.Values{}, []string{"loadbalancer pool delete pool-one"}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			v := &visitor{t, v.Client, v.root}
			commands, blocks := v.copies(test.path, test.form)
			var got []string
			for _, words := range typed(t, commands) {
				got = append(got, strings.Join(words, " "))
			}
			if diff := cmp.Diff(test.commands, got); diff != "" {
				t.Error(diff)
			}
			var labels []string
			for _, block := range read(t, blocks) {
				labels = append(labels, block[""])
			}
			if !slices.Equal(labels, test.labels) {
				t.Errorf("blocks %q, want %q", labels, test.labels)
			}
		})
	}
	if sent := cloud.changes(); len(sent) > 0 {
		t.Errorf("asking has changed something: %v", sent)
	}
}
