package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"poise/bench/site"
	"poise/internal/dataplane"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/proxy"
)

func startHAProxy(s *site.Site, ip string) (*site.Process, error) {
	var config strings.Builder
	config.WriteString("global\n nbthread 2\n maxconn 9600\ndefaults\n mode tcp\n retries 3\n option redispatch\n" +
		" timeout client 50s\n timeout server 50s\n timeout connect 5s\n")
	for _, port := range ports {
		fmt.Fprintf(&config, "listen l%d\n bind %s:%d\n balance roundrobin\n server a %s:%d\n server b %s:%d\n",
			port, ip, port, site.MemberA, port, site.MemberB, port)
	}
	path := filepath.Join(s.Dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	return s.Start(ip, exec.Command("haproxy", "-db", "-f", path))
}

// runPoise is the process under test: the engine, and one load balancer in the fabric.
func runPoise(ip string) error {
	descriptors, err := loop.OfProcess(slog.Default())
	if err != nil {
		return err
	}
	engine, err := proxy.StartEngine(descriptors)
	if err != nil {
		return err
	}
	defer engine.Close()
	endpoint, err := site.Plug(ip)
	if err != nil {
		return err
	}
	server := proxy.New(endpoint.Net, slog.Default(), engine, engine.NewAccount())
	defer server.Close()
	for id, state := range server.Apply(balancerConfig(), endpoint.Bind) {
		if !state.Listening {
			return fmt.Errorf("listener %s: %s", id, state.Reason)
		}
	}
	return site.UntilStopped()
}

// balancerConfig is for each port a listener and a pool of the two members.
func balancerConfig() *dataplane.Config {
	config := &dataplane.Config{}
	for _, port := range ports {
		id := strconv.Itoa(port)
		config.Listeners = append(config.Listeners, dataplane.Listener{
			ID: id, Protocol: dataplane.TCP, Port: uint16(port), PoolID: id,
			ClientTimeout: 50 * time.Second, MemberTimeout: 50 * time.Second, ConnectTimeout: 5 * time.Second,
		})
		config.Pools = append(config.Pools, dataplane.Pool{ID: id, Algorithm: dataplane.RoundRobin, Members: []dataplane.Member{
			{ID: "a", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(site.MemberA), uint16(port))},
			{ID: "b", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(site.MemberB), uint16(port))},
		}})
	}
	return config
}
