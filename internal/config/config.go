// Package config reads the configuration of a poise server: a TOML file in which every key is known, over defaults that
// make sense without any file. docs/poise.toml is the reference: it holds every key with its default.
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// Config is the configuration of a server.
type Config struct {
	// Listen is the one address that everything is served on. Port 0 leaves the choice to the system.
	Listen string `toml:"listen"`
	// PublicURL is how clients reach Listen; "" means http://<listen>, with the port that was chosen.
	PublicURL string `toml:"public_url"`
	// DataDir holds the database, the credentials and the lock of this server; "" means [DefaultDataDir].
	DataDir string `toml:"data_dir"`
	// Database is a postgres:// address; "" means SQLite in DataDir.
	Database string `toml:"database"`
	// TrustedProxies are the addresses and networks of proxies in front of Listen whose X-Forwarded-For is believed.
	TrustedProxies []string `toml:"trusted_proxies"`
	Region         string   `toml:"region"`
	// Fabric is linux, loopback, or auto: linux when the process may create network namespaces.
	Fabric string `toml:"fabric"`
	// DrainTimeout is how long a server that stops waits for the clients of its load balancers.
	DrainTimeout Duration `toml:"drain_timeout"`
	Log          Log      `toml:"log"`
	Identity     Identity `toml:"identity"`
	Octavia      Octavia  `toml:"octavia"`
	HTTP         HTTP     `toml:"http"`
	Console      Console  `toml:"console"`
	Network      Network  `toml:"network"`
	Quotas       Quotas   `toml:"quotas"`

	NetworkQuotas NetworkQuotas `toml:"network_quotas"`
}

// Log says what is logged, to standard error.
type Log struct {
	Level  string `toml:"level"`  // debug, info, warn or error
	Format string `toml:"format"` // text or json
	// Requests has each request of the APIs logged at level info; otherwise they are at level debug.
	Requests bool `toml:"requests"`
}

// Identity configures the embedded identity service.
type Identity struct {
	TokenLifetime Duration `toml:"token_lifetime"`
	// Admin is where the role admin makes an administrator of the cloud: admin_project or any_project.
	Admin string `toml:"admin"`
}

// Octavia says where the load-balancer API has a choice.
type Octavia struct {
	// RBAC is the set of policies: default, keystone, advanced or owner.
	RBAC string `toml:"rbac"`
	// EnforceScope refuses tokens that are not of a project.
	EnforceScope bool `toml:"enforce_scope"`
	// StrictImmutable refuses changes of a load balancer that is not ACTIVE, as Octavia does.
	StrictImmutable bool `toml:"strict_immutable"`
}

// Network configures the embedded network.
type Network struct {
	// HostPorts are the ports of the host that tenants may reach at its addresses, such as "tcp/443".
	HostPorts []string `toml:"host_ports"`
}

// HTTP says what listeners take of HTTP clients.
type HTTP struct {
	MaxTarget   int  `toml:"max_target"`    // bytes of a request's target
	StrictPaths bool `toml:"strict_paths"`  // refuse paths that RFC 3986 calls malformed
	MinBodyRate int  `toml:"min_body_rate"` // bytes a second; 0: any
}

// Console configures the web console.
type Console struct {
	// IdentityURL is the identity API (…/v3) of the cloud that people sign in to; "" means this server's own.
	IdentityURL string `toml:"identity_url"`
}

// Quotas are how many objects of each kind a project may have for which nothing else was set; -1 is any number.
type Quotas struct {
	LoadBalancer  int `toml:"load_balancer"`
	Listener      int `toml:"listener"`
	Pool          int `toml:"pool"`
	Member        int `toml:"member"`
	HealthMonitor int `toml:"health_monitor"`
	L7Policy      int `toml:"l7policy"`
	L7Rule        int `toml:"l7rule"`
}

// NetworkQuotas are how many objects of the embedded network a project may have for which nothing else was set; -1 is any
// number.
type NetworkQuotas struct {
	Network           int `toml:"network"`
	Subnet            int `toml:"subnet"`
	SubnetPool        int `toml:"subnetpool"`
	Port              int `toml:"port"`
	Router            int `toml:"router"`
	RouterRoute       int `toml:"router_route"` // of one router
	FloatingIP        int `toml:"floatingip"`
	SecurityGroup     int `toml:"security_group"`
	SecurityGroupRule int `toml:"security_group_rule"`
	QoSPolicy         int `toml:"policy"`
}

// Duration is a time.Duration written like "12h".
type Duration struct{ time.Duration }

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}

// Default is the configuration without a file.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:9876", TrustedProxies: []string{}, Region: "RegionOne", Fabric: "auto", DrainTimeout: Duration{30 * time.Second},
		Log:      Log{Level: "info", Format: "text"},
		Identity: Identity{TokenLifetime: Duration{12 * time.Hour}, Admin: "admin_project"},
		Octavia:  Octavia{RBAC: "default", EnforceScope: true},
		Network:  Network{HostPorts: []string{}},
		HTTP:     HTTP{MaxTarget: 8 << 10, MinBodyRate: 1},
		Quotas:   Quotas{-1, -1, -1, -1, -1, -1, -1},
		NetworkQuotas: NetworkQuotas{
			Network: 100, Subnet: 100, SubnetPool: 100, Port: 500, Router: 10, RouterRoute: 30, FloatingIP: 50,
			SecurityGroup: 10, SecurityGroupRule: 100, QoSPolicy: 100,
		},
	}
}

// DefaultDataDir is /var/lib/poise for root and $XDG_DATA_HOME/poise (~/.local/share/poise) for others.
func DefaultDataDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/poise", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "poise"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no data directory: %w", err)
	}
	return filepath.Join(home, ".local", "share", "poise"), nil
}

// Load reads the file at path over the defaults; "" reads none. Keys that do not exist are an error.
func Load(path string) (Config, error) {
	c := Default()
	if path == "" {
		return c, nil
	}
	keys, err := toml.DecodeFile(path, &c)
	if err != nil {
		return Config{}, fmt.Errorf("configuration %s: %w", path, err)
	}
	if unknown := keys.Undecoded(); len(unknown) > 0 {
		names := make([]string, len(unknown))
		for i, key := range unknown {
			names[i] = key.String()
		}
		return Config{}, fmt.Errorf("configuration %s: unknown key %s", path, strings.Join(names, ", "))
	}
	return c, nil
}

// Complete fills in what depends on the machine and checks the rest.
func (c Config) Complete() (Config, error) {
	if c.DataDir == "" {
		dir, err := DefaultDataDir()
		if err != nil {
			return Config{}, err
		}
		c.DataDir = dir
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		return Config{}, fmt.Errorf("data_dir: %w", err)
	}
	c.DataDir = dir
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return Config{}, fmt.Errorf("listen: %q is not host:port", c.Listen)
	}
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	if c.Database == "" {
		c.Database = filepath.Join(c.DataDir, "poise.db")
	}
	for _, proxy := range c.TrustedProxies {
		_, addressErr := netip.ParseAddr(proxy)
		if _, networkErr := netip.ParsePrefix(proxy); addressErr != nil && networkErr != nil {
			return Config{}, fmt.Errorf("trusted_proxies: %q is neither an address nor a network like 192.0.2.0/24", proxy)
		}
	}
	if c.Region == "" {
		return Config{}, fmt.Errorf("region: may not be empty")
	}
	for _, choice := range []struct {
		key, value string
		from       []string
	}{
		{"fabric", c.Fabric, []string{"auto", "linux", "loopback"}},
		{"log.level", c.Log.Level, []string{"debug", "info", "warn", "error"}},
		{"log.format", c.Log.Format, []string{"text", "json"}},
		{"identity.admin", c.Identity.Admin, []string{"admin_project", "any_project"}},
		{"octavia.rbac", c.Octavia.RBAC, []string{"default", "keystone", "advanced", "owner"}},
	} {
		if !slices.Contains(choice.from, choice.value) {
			return Config{}, fmt.Errorf("%s: %q is not one of %s", choice.key, choice.value, strings.Join(choice.from, ", "))
		}
	}
	if err := c.HTTP.check(); err != nil {
		return Config{}, err
	}
	return c, c.Quotas.check()
}

// Bound is the configuration of a server whose address is bound: Listen has the port that it got, and PublicURL is known.
func (c Config) Bound(address net.Addr) Config {
	host, port, err := net.SplitHostPort(c.Listen)
	if tcp, ok := address.(*net.TCPAddr); ok && err == nil && (port == "0" || port == "") {
		c.Listen = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	if c.PublicURL == "" {
		c.PublicURL = "http://" + c.Listen
	}
	return c
}

// The bounds of http.max_target: what every load balancer needs, and the longest that the data plane can read.
const (
	leastTarget   = 1 << 10
	longestTarget = 16 << 10
)

func (h HTTP) check() error {
	switch {
	case h.MaxTarget < leastTarget || h.MaxTarget > longestTarget:
		return fmt.Errorf("http.max_target: %d is not between %d and %d bytes", h.MaxTarget, leastTarget, longestTarget)
	case h.MinBodyRate < 0:
		return fmt.Errorf("http.min_body_rate: %d is below 0", h.MinBodyRate)
	}
	return nil
}

func (q Quotas) check() error {
	for _, n := range []int{q.LoadBalancer, q.Listener, q.Pool, q.Member, q.HealthMonitor, q.L7Policy, q.L7Rule} {
		if n < -1 {
			return fmt.Errorf("quotas: %d is neither a number of objects nor -1", n)
		}
	}
	return nil
}

// Tag tells the servers of one machine apart, by their data directories: four hexadecimal digits.
func (c Config) Tag() string {
	sum := sha256.Sum256([]byte(c.DataDir))
	return hex.EncodeToString(sum[:2])
}
