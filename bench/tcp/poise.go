package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"time"

	"poise/internal/dataplane"
	"poise/internal/dataplane/proxy"
	"poise/internal/fabric"
	"poise/internal/fabric/linux"
)

// runPoise is the process under test: the engine, and one load balancer in the fabric.
func runPoise() error {
	engine, err := proxy.StartEngine(slog.Default())
	if err != nil {
		return err
	}
	defer engine.Close()
	networks, err := linux.New(context.Background(), linux.Config{Tag: tag})
	if err != nil {
		return err
	}
	endpoint, err := networks.Plug(context.Background(), poiseIP, []fabric.Port{port(poiseIP)})
	if err != nil {
		return err
	}
	server := proxy.New(endpoint.Net, slog.Default(), engine)
	defer server.Close()
	for id, state := range server.Apply(balancerConfig(), endpoint.Bind) {
		if !state.Listening {
			return fmt.Errorf("listener %s: %s", id, state.Reason)
		}
	}
	return untilStopped()
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
			{ID: "a", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(memberA), uint16(port))},
			{ID: "b", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(memberB), uint16(port))},
		}})
	}
	return config
}
