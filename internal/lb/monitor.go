package lb

import (
	"fmt"
)

// HealthMonitorAttrs are the attributes of a health monitor that can be changed.
type HealthMonitorAttrs struct {
	Common
	DelaySec       Opt[int]
	TimeoutSec     Opt[int]
	MaxRetries     Opt[int]
	MaxRetriesDown Opt[int]
	// HTTPOptions names the attributes of HTTP checks that the request gave (http_method, url_path, expected_codes).
	HTTPOptions []string
}

// HealthMonitorCreate makes a health monitor.
type HealthMonitorCreate struct {
	HealthMonitorAttrs
	ID   string
	Type string
}

const defaultMaxRetriesDown = 3

// CreateHealthMonitor gives a pool its health monitor (octavia-rules.md §5).
func (t *LoadBalancer) CreateHealthMonitor(poolID string, in HealthMonitorCreate) (*HealthMonitor, error) {
	p, err := t.mutablePool(poolID)
	if err != nil {
		return nil, err
	}
	if in.Type == "UDP-CONNECT" || in.Type == "SCTP" {
		return nil, ErrValidation("type", "The %s type is only supported for pools of type UDP/SCTP.", in.Type)
	}
	if in.Type != MonitorTCP {
		return nil, ErrUnsupported("type", "health monitors of type %s are not supported.", in.Type)
	}
	if p.Monitor != nil && !p.Monitor.Deleted { // one that is on its way out may be replaced
		return nil, errConflict("pool_id", "This pool already has a health monitor")
	}
	m := &HealthMonitor{Object: t.newObject(in.ID, in.Common), Type: in.Type, MaxRetriesDown: defaultMaxRetriesDown}
	if err := setMonitor(m, in.HealthMonitorAttrs); err != nil {
		return nil, err
	}
	p.Monitor = m
	t.touchUsers(p)
	return m, nil
}

// UpdateHealthMonitor changes a health monitor.
func (t *LoadBalancer) UpdateHealthMonitor(id string, in HealthMonitorAttrs) (*HealthMonitor, error) {
	p, err := t.mutableMonitor(id)
	if err != nil {
		return nil, err
	}
	if err := setMonitor(p.Monitor, in); err != nil {
		return nil, err
	}
	in.apply(&p.Monitor.Object)
	t.touch(&p.Monitor.Object)
	t.touchUsers(p)
	return p.Monitor, nil
}

// DeleteHealthMonitor removes a health monitor; the members then count as usable, unchecked.
func (t *LoadBalancer) DeleteHealthMonitor(id string) error {
	p, err := t.mutableMonitor(id)
	if err != nil {
		return err
	}
	t.remove(&p.Monitor.Object)
	t.touchUsers(p)
	return nil
}

// mutableMonitor finds the pool of a health monitor that may be changed.
func (t *LoadBalancer) mutableMonitor(id string) (*Pool, error) {
	p, err := t.PoolOfMonitor(id)
	if err != nil {
		return nil, err
	}
	if err := t.mutable(KindPool, &p.Object); err != nil {
		return nil, err
	}
	return p, t.mutable(KindHealthMonitor, &p.Monitor.Object)
}

// setMonitor checks and writes the attributes beyond the common ones.
func setMonitor(m *HealthMonitor, in HealthMonitorAttrs) error {
	for _, required := range []struct {
		name string
		in   Opt[int]
	}{{"delay", in.DelaySec}, {"timeout", in.TimeoutSec}, {"max_retries", in.MaxRetries}} {
		if required.in.Null {
			return ErrOption(required.name, "None", required.name)
		}
	}
	if len(in.HTTPOptions) > 0 {
		return ErrOption(in.HTTPOptions[0], in.HTTPOptions[0], fmt.Sprintf("health monitors of type %s", m.Type))
	}
	in.DelaySec.Into(&m.DelaySec, 0)
	in.TimeoutSec.Into(&m.TimeoutSec, 0)
	in.MaxRetries.Into(&m.MaxRetries, 0)
	in.MaxRetriesDown.Into(&m.MaxRetriesDown, defaultMaxRetriesDown)
	return nil
}
