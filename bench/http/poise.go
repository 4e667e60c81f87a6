package main

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"poise/bench/site"
	"poise/internal/dataplane"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/proxy"
)

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
	config, err := balancerConfig()
	if err != nil {
		return err
	}
	for id, state := range server.Apply(config, endpoint.Bind) {
		if !state.Listening {
			return fmt.Errorf("listener %s: %s", id, state.Reason)
		}
	}
	return site.UntilStopped()
}

func balancerConfig() (*dataplane.Config, error) {
	certificate, key, err := newCertificate()
	if err != nil {
		return nil, err
	}
	member := func(id, ip string) dataplane.Member {
		return dataplane.Member{ID: id, Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(ip), portPlain)}
	}
	listener := func(id string, port uint16) dataplane.Listener {
		return dataplane.Listener{
			ID: id, Protocol: dataplane.HTTP, Port: port, PoolID: "members", ConnectionLimit: 9600,
			ClientTimeout: 50 * time.Second, MemberTimeout: 50 * time.Second, ConnectTimeout: 5 * time.Second,
			HTTP: &dataplane.Requests{Insert: []dataplane.Insertion{dataplane.XForwardedFor}},
		}
	}
	plain, policied, secured := listener("plain", portPlain), listener("policies", portPolicies), listener("tls", portTLS)
	policied.HTTP.Policies = tenantPolicies()
	secured.TLS = &dataplane.ServerTLS{
		Certificates: []dataplane.Certificate{{Chain: [][]byte{certificate}, Key: key}},
		Handshake:    dataplane.Handshake{ALPN: []string{"h2", "http/1.1"}},
	}
	return &dataplane.Config{
		Listeners: []dataplane.Listener{plain, policied, secured},
		Pools: []dataplane.Pool{{
			ID: "members", Algorithm: dataplane.RoundRobin, HTTP: true,
			Members: []dataplane.Member{member("a", site.MemberA), member("b", site.MemberB)},
		}},
	}, nil
}

func tenantPolicies() (all []dataplane.Policy) {
	for i := range policies {
		all = append(all, dataplane.Policy{
			ID: policyHost(i), Action: dataplane.RedirectToPool, PoolID: "members",
			Rules: []dataplane.Rule{
				{Type: "HOST_NAME", Compare: "EQUAL_TO", Value: policyHost(i)},
				{Type: "PATH", Compare: "STARTS_WITH", Value: policyPath(i)},
				{Type: "HEADER", Compare: "CONTAINS", Key: "X-Tenant", Value: policyHeader(i)},
			},
		})
	}
	return all
}
