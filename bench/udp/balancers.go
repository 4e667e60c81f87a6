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

	"poise/bench/site"
	"poise/internal/dataplane"
	"poise/internal/dataplane/datagram"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/proxy"
)

// startNginx has sessions of clients that ask once end with their answer, which nginx can be told.
func startNginx(s *site.Site, ip string) (*site.Process, error) {
	var c strings.Builder
	fmt.Fprintf(&c, "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nuser root;\nworker_processes 2;\npid %s/nginx.pid;\n"+
		"error_log stderr crit;\nworker_rlimit_nofile 20000;\nevents { worker_connections 9900; }\nstream {\n", s.Dir)
	for _, port := range ports {
		once := ""
		if port == portOnce {
			once = " proxy_responses 1;"
		}
		fmt.Fprintf(&c, " upstream m%d { server %s:%d; server %s:%d; }\n server { listen %s:%d udp reuseport; proxy_pass m%d; proxy_timeout 60s;%s }\n",
			port, site.MemberA, port, site.MemberB, port, ip, port, port, once)
	}
	fmt.Fprintf(&c, " server { listen %s:%d; return \"\"; }\n}\n", ip, portReady)
	path := filepath.Join(s.Dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(c.String()), 0o600); err != nil {
		return nil, err
	}
	return s.Start(ip, exec.Command("nginx", "-c", path, "-e", "stderr", "-p", s.Dir))
}

// runPoise is the process under test: both engines, as in production, and one load balancer in the fabric.
func runPoise(ip string) error {
	descriptors, err := loop.OfProcess(slog.Default())
	if err != nil {
		return err
	}
	streams, err := proxy.StartEngine(descriptors)
	if err != nil {
		return err
	}
	defer streams.Close()
	engine, err := datagram.StartEngine(descriptors)
	if err != nil {
		return err
	}
	defer engine.Close()
	endpoint, err := site.Plug(ip)
	if err != nil {
		return err
	}
	server := datagram.New(endpoint.Net, slog.Default(), engine, streams.NewAccount())
	defer server.Close()
	ready := proxy.New(endpoint.Net, slog.Default(), streams, streams.NewAccount())
	defer ready.Close()
	for id, state := range server.Apply(balancerConfig(), endpoint.Bind) {
		if !state.Listening {
			return fmt.Errorf("listener %s: %s", id, state.Reason)
		}
	}
	ready.Apply(&dataplane.Config{Listeners: []dataplane.Listener{{ID: "ready", Protocol: dataplane.TCP, Port: portReady}}}, endpoint.Bind)
	return site.UntilStopped()
}

// balancerConfig is for each port a listener and a pool of the two members.
func balancerConfig() *dataplane.Config {
	config := &dataplane.Config{}
	for _, port := range ports {
		id := strconv.Itoa(port)
		config.Listeners = append(config.Listeners, dataplane.Listener{ID: id, Protocol: dataplane.UDP, Port: uint16(port), PoolID: id})
		config.Pools = append(config.Pools, dataplane.Pool{ID: id, Algorithm: dataplane.RoundRobin, Members: []dataplane.Member{
			{ID: "a", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(site.MemberA), uint16(port))},
			{ID: "b", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(site.MemberB), uint16(port))},
		}})
	}
	return config
}
