package config

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReferenceFileHoldsTheDefaults(t *testing.T) {
	c, err := Load("../../docs/poise.toml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for name, test := range map[string]struct{ file, says string }{
		"unknown key":     {"listne = 'x'", "unknown key listne"},
		"unknown section": {"[logs]\nlevel = 'x'", "unknown key logs"},
		"wrong type":      {"listen = 5", "listen"},
		"no port":         {"listen = 'localhost'", `"localhost" is not host:port`},
		"no such fabric":  {"fabric = 'ovs'", `fabric: "ovs" is not one of auto, linux, loopback`},
		"no such level":   {"[log]\nlevel = 'loud'", "log.level"},
		"no proxy":        {"trusted_proxies = ['the proxy']", `trusted_proxies: "the proxy" is neither`},
		"empty region":    {"region = ''", "region"},
		"no such rules":   {"[octavia]\nrbac = 'none'", "octavia.rbac"},
		"no such target":  {"[http]\nmax_target = 100000", "http.max_target: 100000 is not between 1024 and 16384 bytes"},
		"no such rate":    {"[http]\nmin_body_rate = -1", "http.min_body_rate: -1"},
		"no such admin":   {"[identity]\nadmin = 'all'", "identity.admin"},
		"negative quota":  {"[quotas]\npool = -2", "quotas: -2"},
		"bad duration":    {"[identity]\ntoken_lifetime = 'soon'", "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "poise.toml")
			if err := os.WriteFile(file, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Load(file)
			if err == nil {
				_, err = c.Complete()
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error is %v, want one that says %s", err, test.says)
			}
		})
	}
}

func TestBoundPortIsTold(t *testing.T) {
	address := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40123}
	for name, test := range map[string]struct{ listen, public, wantListen, wantPublic string }{
		"a port of one's own": {"127.0.0.1:9876", "", "127.0.0.1:9876", "http://127.0.0.1:9876"},
		"any port":            {"localhost:0", "", "localhost:40123", "http://localhost:40123"},
		"any port of IPv6":    {"[::1]:0", "", "[::1]:40123", "http://[::1]:40123"},
		"behind a proxy":      {"127.0.0.1:0", "https://cloud.example/", "127.0.0.1:40123", "https://cloud.example"},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			c.Listen, c.PublicURL = test.listen, test.public
			c, err := c.Complete()
			if err != nil {
				t.Fatal(err)
			}
			if c = c.Bound(address); c.Listen != test.wantListen || c.PublicURL != test.wantPublic {
				t.Errorf("%s, told as %s", c.Listen, c.PublicURL)
			}
		})
	}
}
