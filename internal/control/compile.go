package control

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"poise/internal/dataplane"
	"poise/internal/lb"
)

// Octavia's defaults for a timeout of 0 (octavia-dataplane.md §2), and the least that a health check waits (§5).
const (
	defaultDataTimeout    = 50 * time.Second
	defaultConnectTimeout = 5 * time.Second
	leastMonitorInterval  = time.Second
)

// logTag is the tag that has a listener's access log written to its file.
const logTag = "access-log"

// compilation turns one tree into what its data plane serves. What is disabled or being deleted is left out, and pools that
// no served listener uses.
type compilation struct {
	tree *lb.LoadBalancer
	ring *keyring          // what the tree refers to in the key manager
	left map[string]string // see uncarried
}

// compile turns a load balancer's tree into what its data plane serves.
func compile(t *lb.LoadBalancer, ring *keyring, left map[string]string) dataplane.Config {
	c := compilation{tree: t, ring: ring, left: left}
	config := dataplane.Config{LoadBalancerID: t.ID, ProjectID: t.ProjectID, Generation: t.Generation}
	if !t.AdminStateUp {
		return config
	}
	used := map[string]bool{}
	for _, l := range t.Listeners {
		if !serves(&l.Object) || left[l.ID] != "" {
			continue
		}
		listener, ok := c.listener(l)
		if !ok {
			continue
		}
		config.Listeners = append(config.Listeners, listener)
		used[listener.PoolID] = true
		if listener.HTTP != nil {
			for _, p := range listener.HTTP.Policies {
				used[p.PoolID] = true
			}
		}
	}
	for _, p := range t.Pools {
		if used[p.ID] && serves(&p.Object) {
			config.Pools = append(config.Pools, c.pool(p))
		}
	}
	return config
}

func serves(o *lb.Object) bool { return o.AdminStateUp && !o.Deleted }

var protocols = map[lb.Protocol]dataplane.Protocol{
	lb.TCP: dataplane.TCP, lb.HTTPS: dataplane.TCP, lb.HTTP: dataplane.HTTP, lb.TerminatedHTTPS: dataplane.HTTP,
	lb.UDP: dataplane.UDP, lb.Prometheus: dataplane.Prometheus,
}

// listener says false for one that lacks a certificate.
func (c compilation) listener(l *lb.Listener) (dataplane.Listener, bool) {
	listener := dataplane.Listener{
		ID: l.ID, Protocol: protocols[l.Protocol], Port: uint16(l.ProtocolPort),
		ConnectionLimit: max(0, l.ConnectionLimit), AllowedCIDRs: l.AllowedCIDRs,
		ClientTimeout:  timeout(l.TimeoutClientDataMs, defaultDataTimeout),
		MemberTimeout:  timeout(l.TimeoutMemberDataMs, defaultDataTimeout),
		ConnectTimeout: timeout(l.TimeoutMemberConnectMs, defaultConnectTimeout),
		PoolID:         c.servedPool(l.DefaultPoolID),
		AccessLog:      slices.Contains(l.Tags, logTag),
	}
	if listener.Protocol == dataplane.HTTP {
		listener.HTTP = c.requests(l)
	}
	if !speaksTLS(l) {
		return listener, listener.Protocol != ""
	}
	var complete bool
	listener.TLS, complete = c.ring.server(l)
	return listener, complete
}

// servedPool is the pool's id, "" when it is not served.
func (c compilation) servedPool(id string) string {
	p, err := c.tree.Pool(id)
	if err != nil || !serves(&p.Object) {
		return ""
	}
	return id
}

func timeout(ms int, whenZero time.Duration) time.Duration {
	if ms == 0 {
		return whenZero
	}
	return time.Duration(ms) * time.Millisecond
}

// pool compiles a pool. One that is left out has no members: what would go there is refused, and goes nowhere else.
func (c compilation) pool(p *lb.Pool) dataplane.Pool {
	pool := dataplane.Pool{ID: p.ID, Algorithm: dataplane.Algorithm(p.Algorithm), HTTP: p.Protocol == lb.HTTP}
	switch p.Protocol {
	case lb.Proxy:
		pool.Proxy = dataplane.ProxyV1
	case lb.ProxyV2:
		pool.Proxy = dataplane.ProxyV2
	}
	if p.Persistence != nil {
		pool.Persistence = compilePersistence(p)
	}
	complete := c.left[p.ID] == ""
	if p.TLSEnabled && complete {
		pool.TLS, complete = c.ring.client(p)
	}
	if !complete {
		return pool
	}
	for _, m := range p.Members {
		if !m.Deleted {
			pool.Members = append(pool.Members, compileMember(m))
		}
	}
	if m := p.Monitor; m != nil && serves(&m.Object) && c.left[m.ID] == "" {
		pool.Monitor = compileMonitor(m)
	}
	return pool
}

func compileMember(m *lb.Member) dataplane.Member {
	address := netip.AddrPortFrom(m.Address, uint16(m.ProtocolPort))
	probe := address
	if m.MonitorAddress.IsValid() {
		probe = netip.AddrPortFrom(m.MonitorAddress, probe.Port())
	}
	if m.MonitorPort != 0 {
		probe = netip.AddrPortFrom(probe.Addr(), uint16(m.MonitorPort))
	}
	return dataplane.Member{
		ID: m.ID, Address: address, Weight: m.Weight, Backup: m.Backup, Disabled: !m.AdminStateUp, Probe: probe,
	}
}

func compileMonitor(m *lb.HealthMonitor) *dataplane.Monitor {
	return &dataplane.Monitor{
		ID: m.ID, Type: dataplane.MonitorType(m.Type), Rise: m.MaxRetries, Fall: m.MaxRetriesDown,
		Delay:   max(leastMonitorInterval, time.Duration(m.DelaySec)*time.Second),
		Timeout: max(leastMonitorInterval, time.Duration(m.TimeoutSec)*time.Second),
		Method:  m.HTTPMethod, Path: m.URLPath, HTTPVersion: m.HTTPVersion, Host: m.DomainName,
		Codes: strings.ReplaceAll(m.ExpectedCodes, " ", ""),
	}
}
