package nova_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"poise/internal/database"
	"poise/internal/database/databasetest"
	"poise/internal/fabric"
	"poise/internal/fabric/loopback"
	"poise/internal/keystone"
	"poise/internal/neutron"
	"poise/internal/nova"
	"poise/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(databasetest.Suite{M: m}) }

const password = "a long password"

// cloud is identity, network and compute on one address, as poise offers them.
type cloud struct {
	*testing.T
	url   string
	token string // an administrator's
	nova  *nova.Service
	stop  func() // ends the tasks
}

func start(t *testing.T, db *database.DB, f fabric.Fabric) *cloud {
	t.Helper()
	mux := http.NewServeMux()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	server := httptest.NewServer(rest.Frame{Log: log}.Around(mux))
	t.Cleanup(server.Close)
	identity, err := keystone.New(t.Context(), keystone.Config{
		DB: db, Region: "RegionOne", PublicURL: server.URL, Log: log,
		Endpoints: []keystone.Endpoint{
			{Type: "network", Name: "neutron", Path: "/network"},
			{Type: "compute", Name: "nova", Path: "/compute/v2.1"},
			{Type: "image", Name: "glance", Path: "/image"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := identity.Bootstrap(t.Context(), keystone.Accounts(password, password)); err != nil {
		t.Fatal(err)
	}
	network, err := neutron.New(t.Context(), neutron.Config{DB: db, Fabric: f, Log: log, PublicURL: server.URL + "/network"})
	if err != nil {
		t.Fatal(err)
	}
	compute, err := nova.New(t.Context(), nova.Config{DB: db, Fabric: f, Network: network, Log: log, PublicURL: server.URL + "/compute"})
	if err != nil {
		t.Fatal(err)
	}
	offer := func(path string, h http.Handler) {
		h = http.StripPrefix(path, h)
		mux.Handle(path, h)
		mux.Handle(path+"/", h)
	}
	offer(keystone.Path, identity.Handler())
	offer("/network", rest.Authenticate(identity, server.URL+keystone.Path, network.Handler()))
	offer("/compute", rest.Authenticate(identity, server.URL+keystone.Path, compute.Handler()))
	offer("/image", rest.Authenticate(identity, server.URL+keystone.Path, compute.ImageHandler(server.URL+"/image")))
	c := &cloud{T: t, url: server.URL, nova: compute}
	c.run(network.Run, compute.Run)
	c.signIn()
	return c
}

// run starts the tasks and ends them with the test, or earlier with c.stop.
func (c *cloud) run(tasks ...func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Context()))
	done := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() { done <- task(ctx) }()
	}
	running := len(tasks)
	c.stop = func() {
		cancel()
		for ; running > 0; running-- {
			if err := <-done; err != nil {
				c.Error(err)
			}
		}
	}
	c.Cleanup(c.stop)
}

func (c *cloud) signIn() {
	c.Helper()
	domain := object{"id": "default"}
	body := object{"auth": object{
		"identity": object{"methods": []string{"password"}, "password": object{"user": object{"name": "admin", "domain": domain, "password": password}}},
		"scope":    object{"project": object{"name": "admin", "domain": domain}},
	}}
	response := c.do("POST", keystone.Path+"/v3/auth/tokens", body)
	defer func() { _ = response.Body.Close() }()
	if c.token = response.Header.Get("X-Subject-Token"); c.token == "" {
		c.Fatalf("no token: %s", response.Status)
	}
}

type object = map[string]any

func (c *cloud) do(method, path string, body any) *http.Response {
	c.Helper()
	payload, err := json.Marshal(body)
	if err != nil {
		c.Fatal(err)
	}
	request, err := http.NewRequestWithContext(c.Context(), method, c.url+path, bytes.NewReader(payload))
	if err != nil {
		c.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", c.token)
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.Fatal(err)
	}
	return response
}

func (c *cloud) call(method, path string, body any) (int, object) {
	c.Helper()
	response := c.do(method, path, body)
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	answer := object{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &answer); err != nil {
			c.Fatalf("%s %s: %v in %q", method, path, err, raw)
		}
	}
	return response.StatusCode, answer
}

// must is call for requests that have to succeed; it returns what is in the envelope.
func (c *cloud) must(method, path, kind string, body any) object {
	c.Helper()
	status, answer := c.call(method, path, body)
	if status >= 300 {
		c.Fatalf("%s %s: %d %v", method, path, status, answer)
	}
	inner, _ := answer[kind].(object)
	return inner
}

// network makes a network with one subnet and returns its id.
func (c *cloud) network(cidr string) string {
	c.Helper()
	id := c.must("POST", "/network/v2.0/networks", "network", object{"network": object{"name": "lab-net"}})["id"].(string)
	c.must("POST", "/network/v2.0/subnets", "subnet", object{"subnet": object{"network_id": id, "cidr": cidr, "ip_version": 4}})
	return id
}

func (c *cloud) server(name, network string, metadata object) (path, address string) {
	c.Helper()
	created := c.must("POST", "/compute/v2.1/servers", "server",
		object{"server": object{"name": name, "metadata": metadata, "networks": []object{{"uuid": network}}}})
	path = "/compute/v2.1/servers/" + created["id"].(string)
	shown := c.must("GET", path, "server", nil)
	addresses := shown["addresses"].(object)["lab-net"].([]any)
	if shown["status"] != "ACTIVE" {
		c.Fatalf("server: %v", shown)
	}
	return path, addresses[0].(object)["addr"].(string)
}

// freePort finds a TCP port that nobody listens on at any loopback address.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// hear connects and returns all that the other side says.
func hear(address string) (string, error) {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	said, err := io.ReadAll(conn)
	return string(said), err
}

// within retries f until it returns nil.
func within(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(limit)
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal(err)
		}
	}
}

func TestServerGreets(t *testing.T) {
	for _, program := range []string{"", "ncat"} {
		t.Run("program="+program, func(t *testing.T) {
			c := start(t, databasetest.SQLite(t), loopback.New(nil))
			port := freePort(t)
			metadata := object{"greet_port": port, "service": "on"}
			if program != "" {
				metadata["program"] = program
			}
			path, address := c.server("srv-1", c.network("127.61.0.0/24"), metadata)
			target := net.JoinHostPort(address, port)
			greets := func() error {
				if said, err := hear(target); err != nil || said != "Yello from srv-1!\n" {
					return fmt.Errorf("said %q: %w", said, err)
				}
				return nil
			}
			refuses := func() error {
				if said, err := hear(target); err == nil || !strings.Contains(err.Error(), "connection refused") {
					return fmt.Errorf("said %q: %w", said, err)
				}
				return nil
			}
			within(t, 5*time.Second, greets)
			fetched, err := exec.CommandContext(t.Context(), "wget", "-q", target, "-O", "-").Output()
			if err != nil || string(fetched) != "Yello from srv-1!\n" {
				t.Errorf("wget: %q %v", fetched, err)
			}
			for _, step := range []struct {
				name         string
				method, path string
				body         object
				then         func() error
			}{
				{"service off", "PUT", path + "/metadata/service", object{"meta": object{"service": "off"}}, refuses},
				{"service on", "POST", path + "/metadata", object{"metadata": object{"service": "on"}}, greets},
				{"stop", "POST", path + "/action", object{"os-stop": nil}, refuses},
				{"start", "POST", path + "/action", object{"os-start": nil}, greets},
				{"no port", "DELETE", path + "/metadata/greet_port", nil, refuses},
			} {
				if status, answer := c.call(step.method, step.path, step.body); status >= 300 {
					t.Fatalf("%s: %d %v", step.name, status, answer)
				}
				within(t, 5*time.Second, step.then)
			}
		})
	}
}

// After a crash the servers are back, and what they use is given back when they are deleted.
func TestServersOutliveTheProcess(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, db *database.DB) {
		first := start(t, db, loopback.New(nil))
		port := freePort(t)
		path, address := first.server("srv-1", first.network("127.62.0.0/24"), object{"greet_port": port})
		first.stop()
		if said, err := hear(net.JoinHostPort(address, port)); err == nil {
			t.Fatalf("still greets: %q", said)
		}
		c := start(t, db, loopback.New(nil))
		within(t, 5*time.Second, func() error {
			_, err := hear(net.JoinHostPort(address, port))
			return err
		})
		c.must("DELETE", path, "", nil)
		if status, _ := c.call("GET", path, nil); status != 404 {
			t.Errorf("deleted server: %d", status)
		}
		if _, err := hear(net.JoinHostPort(address, port)); err == nil {
			t.Error("deleted server still greets")
		}
		if _, answer := c.call("GET", "/network/v2.0/ports", nil); len(answer["ports"].([]any)) != 0 {
			t.Errorf("ports left: %v", answer)
		}
	})
}

func TestRefusals(t *testing.T) {
	c := start(t, databasetest.SQLite(t), loopback.New(nil))
	network := c.network("127.63.0.0/24")
	path, _ := c.server("srv-1", network, nil)
	of := func(name string, metadata object, networks ...object) object {
		return object{"server": object{"name": name, "metadata": metadata, "networks": networks}}
	}
	for _, one := range []struct {
		name         string
		method, path string
		body         any
		status       int
	}{
		{"name for a shell", "POST", "/compute/v2.1/servers", of("a;reboot", nil, object{"uuid": network}), 400},
		{"no network", "POST", "/compute/v2.1/servers", of("a", nil), 400},
		{"unknown network", "POST", "/compute/v2.1/servers", of("a", nil, object{"uuid": "x"}), 404},
		{"unknown port", "POST", "/compute/v2.1/servers", of("a", nil, object{"port": "x"}), 404},
		{"bad port number", "POST", "/compute/v2.1/servers", of("a", object{"greet_port": "70000"}, object{"uuid": network}), 400},
		{"unknown program", "POST", "/compute/v2.1/servers", of("a", object{"program": "sh"}, object{"uuid": network}), 400},
		{"bad service", "PUT", path + "/metadata/service", object{"meta": object{"service": "maybe"}}, 400},
		{"unknown item", "DELETE", path + "/metadata/none", nil, 404},
		{"start a running one", "POST", path + "/action", object{"os-start": nil}, 409},
		{"unknown action", "POST", path + "/action", object{"reboot": object{}}, 400},
		{"unknown server", "GET", "/compute/v2.1/servers/none", nil, 404},
		{"unknown flavor", "GET", "/compute/v2.1/flavors/none", nil, 404},
	} {
		if status, answer := c.call(one.method, one.path, one.body); status != one.status {
			t.Errorf("%s: %d %v, want %d", one.name, status, answer, one.status)
		}
	}
	if _, answer := c.call("GET", "/compute/v2.1/servers", nil); len(answer["servers"].([]any)) != 1 {
		t.Errorf("refused servers are left: %v", answer)
	}
}

// openstack runs commands in one session of the command-line client and returns what it says.
func (c *cloud) openstack(user string, commands ...string) string {
	c.Helper()
	client, err := exec.LookPath("openstack")
	if err != nil {
		c.Skip("python-openstackclient is not installed")
	}
	session := exec.CommandContext(c.Context(), client)
	session.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.TempDir(), "OS_IDENTITY_API_VERSION=3", "OS_REGION_NAME=RegionOne",
		"OS_AUTH_URL=" + c.url + keystone.Path + "/v3", "PYTHONWARNINGS=ignore", "OS_USERNAME=" + user, "OS_PASSWORD=" + password,
		"OS_PROJECT_NAME=" + user, "OS_USER_DOMAIN_NAME=Default", "OS_PROJECT_DOMAIN_NAME=Default", "COLUMNS=200",
	}
	session.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	output, err := session.CombinedOutput()
	if err != nil {
		c.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

func TestOpenStackClientShowsServers(t *testing.T) {
	c := start(t, databasetest.SQLite(t), loopback.New(nil))
	c.server("srv-1", c.network("127.64.0.0/24"), object{"greet_port": freePort(t)})
	got := c.openstack("admin",
		"server list -f value -c Name -c Status -c Networks -c Flavor",
		"server list --no-name-lookup -f value -c Name",
		"server list --long -f value -c Name -c Host",
		"server show srv-1 -f value -c status -c addresses -c OS-EXT-SRV-ATTR:hypervisor_hostname -c flavor",
		"server stop srv-1",
		"server list --status SHUTOFF -f value -c Name -c Status",
		"server start srv-1",
		"server set --property service=off srv-1",
		"server show srv-1 -f value -c status",
		"server unset --property service srv-1",
		"flavor list -f value -c Name",
		"server delete srv-1",
		"server list -f value",
	)
	for strings.Contains(got, "(openstack) ") {
		got = strings.ReplaceAll(got, "(openstack) ", "")
	}
	want := "srv-1 ACTIVE {'lab-net': ['127.64.0.2']} lab.tiny\nsrv-1\nsrv-1 loopback loopback\n" +
		"loopback\n{'lab-net': ['127.64.0.2']}\nlab.tiny (lab.tiny)\nACTIVE\n" +
		"srv-1 SHUTOFF\nACTIVE\nlab.tiny\n"
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// Clients hear of what is wrong in the words of their request, never in those of the program.
func TestFaultsNameWhatIsWrong(t *testing.T) {
	databasetest.Each(t, testFaults)
}

func testFaults(t *testing.T, db *database.DB) {
	c := start(t, db, loopback.New(nil))
	network := c.network("127.64.0.0/24")
	path, _ := c.server("srv-1", network, nil)
	with := func(name string, value any) object {
		wanted := object{"name": "x", "networks": []object{{"uuid": network}}}
		wanted[name] = value
		return object{"server": wanted}
	}
	for _, one := range []struct {
		method, path string
		body         any
		want         string
	}{
		{"POST", "/compute/v2.1/servers", with("networks", "auto"), "Invalid input for field/attribute server.networks. It must not be a string."},
		{"POST", "/compute/v2.1/servers", with("networks", []object{{"fixed_ip": 5}}), "Invalid input for field/attribute server.networks.fixed_ip. It must not be a number."},
		{"POST", "/compute/v2.1/servers", with("networks", []object{{"uuid": network, "fixed_ip": "x"}}), "Invalid input for field/attribute networks[0].fixed_ip. 'x' is not an IP address."},
		{"POST", "/compute/v2.1/servers", with("metadata", []string{"a"}), "Invalid input for field/attribute server.metadata. It must not be a array."},
		{"POST", "/compute/v2.1/servers", with("imageRef", "none"), "Image none could not be found."},
		{"POST", "/compute/v2.1/servers", with("flavorRef", "huge"), "Flavor huge could not be found."},
		{"POST", "/compute/v2.1/servers", []string{}, "The request body must be an object, not a array."},
		{"POST", path + "/action", "start", "The request body must be an object, not a string."},
		{"POST", path + "/metadata", object{"metadata": object{"a": 1}}, "Invalid input for field/attribute metadata. It must not be a number."},
		{"POST", "/compute/v2.1/servers", with("name", "a\x00"), "Invalid input for field 'server.name': the text must not contain NUL characters"},
		{"POST", path + "/metadata", object{"metadata": object{"a\x00": "b"}}, "Invalid input for field 'metadata.a�': the text must not contain NUL characters"},
		{"PUT", path + "/metadata/a", json.RawMessage("{\"meta\": {\"a\": \"\xff\"}}"), "Invalid input for field 'meta.a': the text is not valid UTF-8"},
		{"GET", "/compute/v2.1/servers?name=%00", nil, "the request has characters that are not valid in text"},
		{"PUT", path + "/metadata/a", object{"meta": "b"}, "Invalid input for field/attribute meta. It must not be a string."},
	} {
		status, answer := c.call(one.method, one.path, one.body)
		fault, _ := answer["badRequest"].(object)
		if status != http.StatusBadRequest || fault["message"] != one.want {
			t.Errorf("%s %s %v: %d %v, want %s", one.method, one.path, one.body, status, answer, one.want)
		}
	}
}

// There is an image to make servers of, as clients look one up.
func TestOpenStackClientMakesServer(t *testing.T) {
	c := start(t, databasetest.SQLite(t), loopback.New(nil))
	network := c.network("127.64.0.0/24")
	got := c.openstack("admin",
		"image list -f value -c Name -c Status",
		"image show greeter -f value -c visibility",
		"server create --image greeter --flavor lab.tiny --network "+network+" --wait srv-9 -f value -c status",
		"server list -f value -c Name -c Image -c Flavor",
	)
	for _, want := range []string{"greeter active", "public", "ACTIVE", "srv-9 greeter lab.tiny"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}

// The quotas of the network, by the real client.
func TestOpenStackClientQuotas(t *testing.T) {
	c := start(t, databasetest.SQLite(t), loopback.New(nil))
	got := c.openstack("admin",
		"quota set --networks 1 --floating-ips 7 --ports -1 admin",
		"quota show -f value -c networks -c floating-ips -c ports -c routers admin",
		"quota show --default -f value -c networks admin",
		"quota list --network -f value -c Networks -c Ports",
		"quota list --network --detail -f value -c Resource -c Limit",
		"network create one -f value -c name",
		"network create two",
		"quota set --networks 0 admin",
		"quota set --networks 0 --force admin",
	)
	t.Log(got)
	for _, want := range []string{
		"7\n1\n-1\n10\n", "100\n", "1 -1\n", "networks 1\n", "one\n", "Quota exceeded for resources: ['network'].",
		"Quota limit 0 for network must be greater than or equal to already used 1",
	} {
		if !strings.Contains(strings.ReplaceAll(got, "(openstack) ", ""), want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}
