package nova_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"poise/internal/database/databasetest"
	"poise/internal/fabric/linux"
)

// A server's service is reached from another server of its network, and from nowhere after it is stopped.
func TestServersInNamespaces(t *testing.T) {
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
	c := start(t, databasetest.SQLite(t), f)
	network := c.network("10.61.0.0/24")
	client, _ := c.server("client", network, nil)
	namespace := c.must("GET", client, "server", nil)["OS-EXT-SRV-ATTR:instance_name"].(string)
	for _, program := range []string{"", "ncat"} {
		path, address := c.server("srv"+program, network, object{"greet_port": "61234", "program": program})
		fetch := func() (string, error) {
			said, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", namespace,
				"wget", "-q", "-T", "1", "-t", "1", net.JoinHostPort(address, "61234"), "-O", "-").Output()
			return string(said), err
		}
		within(t, 10*time.Second, func() error {
			if said, err := fetch(); err != nil || said != "Yello from srv"+program+"!\n" {
				return fmt.Errorf("%s: said %q: %w", program, said, err)
			}
			return nil
		})
		c.must("POST", path+"/action", "", object{"os-stop": nil})
		if said, err := fetch(); err == nil {
			t.Errorf("stopped server says %q", said)
		}
		if shown := c.must("GET", path, "server", nil); shown["status"] != "SHUTOFF" || shown["OS-EXT-SRV-ATTR:instance_name"] != "" {
			t.Errorf("stopped server: %v", shown)
		}
	}
}
