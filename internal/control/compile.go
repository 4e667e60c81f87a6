package control

import (
	"net/netip"
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

// compile turns a load balancer's tree into what its data plane serves. What is disabled or being deleted is left out,
// what the data plane does not carry, and pools that no served listener uses.
func compile(t *lb.LoadBalancer) dataplane.Config {
	config := dataplane.Config{LoadBalancerID: t.ID, Generation: t.Generation}
	if !t.AdminStateUp {
		return config
	}
	used, left := map[string]bool{}, uncarried(t)
	for _, l := range t.Listeners {
		if l.AdminStateUp && !l.Deleted && left[l.ID] == "" {
			config.Listeners = append(config.Listeners, compileListener(t, l))
			used[l.DefaultPoolID] = true
		}
	}
	for _, p := range t.Pools {
		if used[p.ID] && serves(p) {
			config.Pools = append(config.Pools, compilePool(p, left))
		}
	}
	return config
}

func serves(p *lb.Pool) bool { return p.AdminStateUp && !p.Deleted }

func compileListener(t *lb.LoadBalancer, l *lb.Listener) dataplane.Listener {
	listener := dataplane.Listener{
		ID: l.ID, Protocol: dataplane.TCP, Port: uint16(l.ProtocolPort),
		ConnectionLimit: max(0, l.ConnectionLimit), AllowedCIDRs: l.AllowedCIDRs,
		ClientTimeout:  timeout(l.TimeoutClientDataMs, defaultDataTimeout),
		MemberTimeout:  timeout(l.TimeoutMemberDataMs, defaultDataTimeout),
		ConnectTimeout: timeout(l.TimeoutMemberConnectMs, defaultConnectTimeout),
	}
	if p, err := t.Pool(l.DefaultPoolID); err == nil && serves(p) {
		listener.PoolID = p.ID
	}
	return listener
}

func timeout(ms int, whenZero time.Duration) time.Duration {
	if ms == 0 {
		return whenZero
	}
	return time.Duration(ms) * time.Millisecond
}

func compilePool(p *lb.Pool, left map[string]string) dataplane.Pool {
	pool := dataplane.Pool{
		ID: p.ID, Algorithm: dataplane.Algorithm(p.Algorithm),
		Persistence: compilePersistence(p),
	}
	for _, m := range p.Members {
		if !m.Deleted {
			pool.Members = append(pool.Members, compileMember(m))
		}
	}
	if h := p.Monitor; h != nil && h.AdminStateUp && !h.Deleted && left[h.ID] == "" {
		pool.Monitor = &dataplane.Monitor{
			ID: h.ID, Type: dataplane.MonitorTCP, Rise: h.MaxRetries, Fall: h.MaxRetriesDown,
			Delay:   max(leastMonitorInterval, time.Duration(h.DelaySec)*time.Second),
			Timeout: max(leastMonitorInterval, time.Duration(h.TimeoutSec)*time.Second),
		}
	}
	return pool
}

func compilePersistence(p *lb.Pool) *dataplane.Persistence {
	if p.Persistence == nil {
		return nil
	}
	return &dataplane.Persistence{Type: dataplane.PersistenceType(p.Persistence.Type), Cookie: p.Persistence.CookieName}
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
