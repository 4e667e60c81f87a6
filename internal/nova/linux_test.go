package nova_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"testing"
	"time"

	"poise/internal/database/databasetest"
	"poise/internal/fabric/linux"
)

// startInNamespaces is a cloud with networks of its own.
func startInNamespaces(t *testing.T) *cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	f, err := linux.New(t.Context(), linux.Config{Tag: fmt.Sprintf("%06x", time.Now().UnixNano()&0xffffff)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return start(t, databasetest.SQLite(t), f)
}

// fetch asks for a greeting from within the server at the path.
func (c *cloud) fetch(path, address string) (string, error) {
	namespace := c.must("GET", path, "server", nil)["OS-EXT-SRV-ATTR:instance_name"].(string)
	said, err := exec.CommandContext(c.Context(), "ip", "netns", "exec", namespace,
		"wget", "-q", "-T", "1", "-t", "1", net.JoinHostPort(address, "61234"), "-O", "-").Output()
	return string(said), err
}

// A server's service is reached from another server of its network, and from nowhere after it is stopped.
func TestServersInNamespaces(t *testing.T) {
	c := startInNamespaces(t)
	network := c.network("10.61.0.0/24")
	client, _ := c.server("client", network, nil)
	for _, program := range []string{"", "ncat"} {
		path, address := c.server("srv"+program, network, object{"greet_port": "61234", "program": program})
		within(t, 10*time.Second, func() error {
			if said, err := c.fetch(client, address); err != nil || said != "Yello from srv"+program+"!\n" {
				return fmt.Errorf("%s: said %q: %w", program, said, err)
			}
			return nil
		})
		c.must("POST", path+"/action", "", object{"os-stop": nil})
		if said, err := c.fetch(client, address); err == nil {
			t.Errorf("stopped server says %q", said)
		}
		if shown := c.must("GET", path, "server", nil); shown["status"] != "SHUTOFF" || shown["OS-EXT-SRV-ATTR:instance_name"] != "" {
			t.Errorf("stopped server: %v", shown)
		}
	}
}

// A running server has the host routes of its subnet, as long as the subnet has them.
func TestServersHaveHostRoutes(t *testing.T) {
	c := startInNamespaces(t)
	network := c.network("10.61.0.0/24")
	subnets := c.must("GET", "/network/v2.0/networks/"+network, "network", nil)["subnets"].([]any)
	c.must("POST", "/network/v2.0/subnets", "subnet", object{"subnet": object{"network_id": network, "cidr": "10.62.0.0/24", "ip_version": 4}})
	client, _ := c.server("client", network, nil)
	server, address := c.server("srv", network, object{"greet_port": "61234"})
	_, found := c.call("GET", "/network/v2.0/ports?device_id="+path.Base(server), nil)
	port := found["ports"].([]any)[0].(object)["id"].(string)
	c.must("PUT", "/network/v2.0/ports/"+port, "port", object{"port": object{"fixed_ips": []object{
		{"ip_address": address}, {"ip_address": "10.62.0.9"},
	}}})
	route := func(routes []object) {
		c.must("PUT", "/network/v2.0/subnets/"+subnets[0].(string), "subnet", object{"subnet": object{"host_routes": routes}})
	}
	for _, step := range []struct {
		name    string
		routes  []object
		reached bool
	}{
		{"without", []object{}, false},
		{"with the route", []object{{"destination": "10.62.0.0/24", "nexthop": address}}, true},
		{"without it again", []object{}, false},
	} {
		route(step.routes)
		within(t, 10*time.Second, func() error {
			if said, err := c.fetch(client, "10.62.0.9"); (err == nil) != step.reached {
				return fmt.Errorf("%s: said %q: %w", step.name, said, err)
			}
			return nil
		})
	}
}
