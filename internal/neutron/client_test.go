package neutron_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"poise/internal/database/databasetest"
	"poise/internal/rest"
)

// openstack runs commands in one session of the command-line client and returns what it says.
func (c *cloud) openstack(who rest.Caller, commands ...string) string {
	c.t.Helper()
	client, err := exec.LookPath("openstack")
	if err != nil {
		c.t.Skip("python-openstackclient is not installed")
	}
	session := exec.CommandContext(c.t.Context(), client)
	session.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.t.TempDir(), "PYTHONWARNINGS=ignore", "COLUMNS=200",
		"OS_AUTH_TYPE=admin_token", "OS_TOKEN=" + who.UserName, "OS_ENDPOINT=" + c.url,
	}
	session.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	output, err := session.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%v\n%s", err, output)
	}
	return anonymous(string(output))
}

var (
	anID      = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	aTime     = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)
	prompts   = regexp.MustCompile(`(\(openstack\) )+`)
	blankLine = regexp.MustCompile(`\n\s*\n`)
)

// anonymous replaces what differs from run to run.
func anonymous(text string) string {
	text = prompts.ReplaceAllString(text, "")
	text = aTime.ReplaceAllString(anID.ReplaceAllString(text, "<id>"), "<time>")
	return strings.TrimSpace(blankLine.ReplaceAllString(text, "\n"))
}

// The guide's rows, all of them and in its order; nobody may take one away.
func TestGuideFloatingIP(t *testing.T) {
	c := start(t, databasetest.SQLite(t), "loopback")
	outside := c.network(root, object{"name": "ext-net", "router:external": true})
	c.subnet(root, outside, "198.51.100.0/24")
	inside := c.network(alice, object{"name": "private"})
	c.subnet(alice, inside, "10.15.25.0/24")
	port := c.port(alice, inside, nil)

	got := c.openstack(alice, "floating ip create ext-net -f value -c created_at -c description -c dns_domain -c dns_name",
		"floating ip create ext-net")
	want := []string{
		"created_at <time>", "description", "dns_domain", "dns_name", "fixed_ip_address None", "floating_ip_address 198.51.100.3",
		"floating_network_id <id>", "id <id>", "name 198.51.100.3", "port_details None", "port_id None", "project_id p1",
		"qos_policy_id None", "revision_number 0", "router_id None", "status DOWN", "subnet_id None", "tags []", "updated_at <time>",
	}
	rows := []string{}
	for line := range strings.Lines(got) {
		if fields := strings.Fields(strings.ReplaceAll(line, "|", " ")); strings.HasPrefix(line, "|") && fields[0] != "Field" {
			rows = append(rows, strings.Join(fields, " "))
		}
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}

	floating := c.ids(alice, "floatingips", "?floating_ip_address=198.51.100.3")[0]
	got = c.openstack(alice,
		"floating ip list --floating-ip-address 198.51.100.3 -c ID -f value",
		"floating ip set --port "+id(port)+" "+floating,
		"floating ip show "+floating+" -f value -c status -c fixed_ip_address -c revision_number",
		"floating ip show 198.51.100.3 -f value -c status",
		"floating ip unset --port "+floating,
		"floating ip list --sort-column ID -f value -c Port -c Project",
		"floating ip delete "+floating,
		"floating ip list -f value -c Port -c Project",
	)
	if diff := cmp.Diff("<id>\n10.15.25.2\n1\nACTIVE\nACTIVE\nNone p1\nNone p1\nNone p1", got); diff != "" {
		t.Error(diff)
	}
}

func TestOpenStackClientNetworks(t *testing.T) {
	c := start(t, databasetest.SQLite(t), "linux")
	got := c.openstack(root,
		"network create ext-net --external --share --tag red -f value -c name -c router:external -c shared -c tags",
		"network set ext-net --description outside --no-tag",
		"network show ext-net -f value -c description -c revision_number",
		"subnet create ext-sub --network ext-net --subnet-range 198.51.100.0/24 --no-dhcp --allocation-pool start=198.51.100.100,end=198.51.100.110 -f value -c allocation_pools -c gateway_ip",
		"network list --external -f value -c Name",
		"extension list --network -f value -c Alias",
	)
	want := "ext-net\nTrue\nTrue\n['red']\noutside\n3\n[{'start': '198.51.100.100', 'end': '198.51.100.110'}]\n198.51.100.1\next-net"
	if !strings.HasPrefix(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	got = c.openstack(alice,
		"network create private -f value -c name -c mtu",
		"subnet create sub --network private --subnet-range 10.0.0.0/24 --dns-nameserver 9.9.9.9 -f value -c cidr -c dns_nameservers",
		"subnet set sub --name inside --gateway none",
		"subnet show inside -f value -c gateway_ip -c name",
		"subnet set inside --gateway 10.0.0.1",
		"port create card --network private --fixed-ip subnet=inside,ip-address=10.0.0.42 -f value -c fixed_ips -c status",
		"port set card --name nic --device srv --tag blue",
		"port list --fixed-ip ip-address=10.0.0.42 -f value -c Name -c Status",
		"port list --device-owner none -f value",
		"port unset nic --tag blue",
		"router create gate -f value -c name",
		"router set gate --external-gateway ext-net",
		"router add subnet gate inside",
		"router show gate -f json -c external_gateway_info -c interfaces_info",
		"floating ip create ext-net --port nic --floating-ip-address 198.51.100.105",
		"floating ip create ext-net --port nic -f value -c floating_ip_address -c status",
		"router remove subnet gate inside",
		"port delete nic",
		"router remove subnet gate inside",
		"router unset gate --external-gateway",
		"router delete gate",
		"subnet list -f value -c Name",
		"subnet delete inside",
		"network delete private",
		"network list -f value -c Name",
	)
	wantLines := []string{
		"1500", "private", // columns in the client's own order
		"10.0.0.0/24", "['9.9.9.9']", "None", "inside",
		"[{'ip_address': '10.0.0.42', 'subnet_id': '<id>'}]", "DOWN", "nic ACTIVE", "gate",
	}
	if !strings.HasPrefix(got, strings.Join(wantLines, "\n")+"\n{") {
		t.Errorf("got:\n%s", got)
	}
	for _, line := range []string{
		"rule:create_floatingip:floating_ip_address is disallowed by policy", "198.51.100.101\nACTIVE",
		"as it is required by one or more floating IPs", `"ip_address": "10.0.0.1"`, "\next-net",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("%q is missing in:\n%s", line, got)
		}
	}
}
