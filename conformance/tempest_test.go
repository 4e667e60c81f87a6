package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"poise/internal/clouds"
)

var everything = flag.Bool("tempest", false, "run all of octavia-tempest-plugin's API tests, which takes some five minutes, not just a few")

const (
	// suite is where the names in testdata/tempest.txt begin.
	suite = "octavia_tempest_plugin.tests.api.v2."
	// few is what is run without -tempest: one class for each worker, so that none has to clean up before the next. Tempest
	// sleeps for ten seconds before it deletes a subnet.
	few        = `test_listener\.|test_member\.MemberAPITest1\..*TCP|test_l7rule\.`
	fewWorkers = 3
	// allWorkers mostly wait.
	allWorkers = 6
	// fewLimit and allLimit bound a run.
	fewLimit = 5 * time.Minute
	allLimit = time.Hour
)

// TestTempest runs the tests of Debian's octavia-tempest-plugin that a real Octavia passes (testdata/tempest.txt) against a
// server. Each must pass.
func TestTempest(t *testing.T) {
	if _, err := exec.LookPath("tempest"); err != nil {
		t.Fatalf("the Debian packages tempest and octavia-tempest-plugin are needed: %v", err)
	}
	pattern, workers, limit := few, fewWorkers, fewLimit
	if *everything {
		pattern, workers, limit = "", allWorkers, allLimit
	}
	wanted := testNames(t, pattern)
	address, credentials := startServer(t, "[identity]\nadmin = \"any_project\"\n[octavia]\nrbac = \"advanced\"\n[log]\nlevel = \"warn\"\n")
	dir := t.TempDir()
	configure(t, dir, "http://"+address, credentials.Clouds[clouds.Admin].Auth)

	ctx, stop := context.WithTimeout(t.Context(), limit)
	defer stop()
	found := map[string]outcome{}
	for o := range runTempest(ctx, t, dir, wanted, workers) {
		found[o.name] = o
		if !*everything && len(found) == len(wanted) {
			stop() // what it would clean up now ends with this host
		}
	}
	passed := 0
	for _, name := range wanted {
		switch o, ran := found[name]; {
		case !ran:
			t.Errorf("%s: did not run%s", name, found[classOf(name)].detail)
		case o.status != "ok":
			t.Errorf("%s: %s%s", name, o.status, o.detail)
		default:
			passed++
		}
	}
	t.Logf("%d of the %d tests that a real Octavia passes", passed, len(wanted))
}

// testNames are the tests that must pass and match a pattern.
func testNames(t *testing.T, pattern string) []string {
	t.Helper()
	list, err := os.ReadFile("testdata/tempest.txt")
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile("^(" + pattern + ")")
	return slices.DeleteFunc(strings.Fields(string(list)), func(name string) bool { return !form.MatchString(name) })
}

// configure writes tempest's configuration into its directory. Nova and Glance are named because tempest wants them; no
// request goes there.
func configure(t *testing.T, dir, server string, admin clouds.Auth) {
	t.Helper()
	p := &player{base: server, tokens: map[string]string{}}
	p.tokens["admin"], _ = p.signIn(t, admin.Username, admin.Password, admin.ProjectName)
	var answer struct {
		Providers []struct{ Name, Description string }
	}
	if err := json.Unmarshal(p.send(t, "admin", http.MethodGet, "/load-balancer/v2.0/lbaas/providers", ""), &answer); err != nil {
		t.Fatal(err)
	}
	var providers []string
	for _, p := range answer.Providers {
		providers = append(providers, p.Name+":"+p.Description)
	}
	files := map[string]string{
		"tempest.conf": fmt.Sprintf(tempestConf, dir, admin.Username, admin.Password, admin.ProjectName, admin.AuthURL, strings.Join(providers, ",")),
		".stestr.conf": stestrConf,
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// outcome is what became of a test. A class that could not be set up is an outcome of its own.
type outcome struct {
	name   string // without the suite's
	status string // ok, FAILED, SKIPPED
	detail string // for people
}

// runTempest runs tests and gives their outcomes as they come, until ctx ends.
func runTempest(ctx context.Context, t *testing.T, dir string, tests []string, workers int) func(yield func(outcome) bool) {
	t.Helper()
	var list strings.Builder
	for _, name := range tests {
		fmt.Fprintf(&list, "^%s(\\[|$)\n", regexp.QuoteMeta(suite+name))
	}
	include := filepath.Join(dir, "tests")
	if err := os.WriteFile(include, []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "tempest.conf")
	command := exec.CommandContext(ctx, "tempest", "run", "--config-file", conf, "--include-list", include, "--concurrency", fmt.Sprint(workers))
	command.Dir = dir
	command.Env = append(withoutClouds(os.Environ()), "TEMPEST_CONFIG="+conf, "TEMPEST_CONFIG_DIR="+dir, "HOME="+dir, "PYTHONUNBUFFERED=1")
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) } // it and its workers
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = command.Stdout
	return func(yield func(outcome) bool) {
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		said := readOutcomes(output, yield)
		if err := command.Wait(); len(said) > 0 && err != nil && ctx.Err() == nil {
			t.Logf("tempest: %v\n%s", err, said)
		}
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Error("tempest took too long")
		}
	}
}

// withoutClouds is an environment without what clients of OpenStack read.
func withoutClouds(environment []string) []string {
	return slices.DeleteFunc(environment, func(v string) bool { return strings.HasPrefix(v, "OS_") })
}

// resultLine is what tempest says of a test, or of the setting up of its class.
var resultLine = regexp.MustCompile(`^\{\d+\} (?:setUpClass \()?` + regexp.QuoteMeta(suite) + `([\w.]+).* \.\.\. (ok|FAILED|SKIPPED.*)$`)

// readOutcomes reads what tempest prints; what it says before the first outcome is returned, when there is no outcome.
func readOutcomes(from io.Reader, yield func(outcome) bool) (said string) {
	var last outcome
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	inTraceback := false
	for lines.Scan() {
		line := lines.Text()
		result := resultLine.FindStringSubmatch(line)
		switch {
		case result != nil:
			if last.name != "" {
				yield(last)
			}
			last, inTraceback = outcome{name: result[1], status: result[2]}, false
			if last.status == "ok" { // says no more
				yield(last)
				last = outcome{}
			}
		case strings.HasPrefix(line, "Captured "):
			inTraceback = strings.HasPrefix(line, "Captured traceback")
		case inTraceback && strings.TrimSpace(line) != "":
			last.detail += "\n" + line
		case last.name == "":
			said += line + "\n"
		}
	}
	if last.name != "" {
		yield(last)
	}
	return said
}

func classOf(test string) string { return test[:strings.LastIndex(test, ".")] }

const stestrConf = `[DEFAULT]
test_path=/usr/lib/python3/dist-packages/tempest/test_discover
top_dir=/usr/lib/python3/dist-packages/tempest
group_regex=([^\.]*\.)*
`

const tempestConf = `[DEFAULT]
log_dir = %[1]s
log_file = tempest.log
use_stderr = false
[oslo_concurrency]
lock_path = %[1]s/lock
[auth]
use_dynamic_credentials = true
admin_username = %[2]s
admin_password = %[3]s
admin_project_name = %[4]s
admin_domain_name = Default
default_credentials_domain_name = Default
create_isolated_networks = false
[identity]
auth_version = v3
uri_v3 = %[5]s
region = RegionOne
v3_endpoint_type = public
admin_domain_scope = false
[identity-feature-enabled]
api_v2 = false
api_v3 = true
[network]
project_networks_reachable = true
[network-feature-enabled]
ipv6 = true
port_security = true
[service_available]
nova = true
glance = true
cinder = false
swift = false
horizon = false
neutron = true
load_balancer = true
[load_balancer]
test_with_noop = false
provider = amphora
enabled_provider_drivers = %[6]s
RBAC_test_type = advanced
availability_zone = nowhere-1
availability_zone2 = nowhere-2
availability_zone3 = nowhere-3
build_interval = 0.2
check_interval = 0.2
lb_build_interval = 0.2
build_timeout = 60
lb_build_timeout = 60
check_timeout = 30
[enforce_scope]
octavia = false
`
