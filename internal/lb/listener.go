package lb

import (
	"net/netip"
	"slices"
	"strings"
)

// ListenerAttrs are the attributes of a listener that can be changed.
type ListenerAttrs struct {
	Common
	Description            Opt[string]
	ConnectionLimit        Opt[int] // -1: unlimited
	DefaultPoolID          Opt[string]
	TimeoutClientDataMs    Opt[int]
	TimeoutMemberConnectMs Opt[int]
	TimeoutMemberDataMs    Opt[int]
	TimeoutTCPInspectMs    Opt[int]
	AllowedCIDRs           Opt[[]netip.Prefix]
}

// ListenerCreate makes a listener.
type ListenerCreate struct {
	ListenerAttrs
	ID           string
	Protocol     string
	ProtocolPort int
}

// CreateListener adds a listener (octavia-rules.md §2).
func (t *LoadBalancer) CreateListener(in ListenerCreate) (*Listener, error) {
	if err := t.mutable(KindLoadBalancer, &t.Object); err != nil {
		return nil, err
	}
	if err := supportedProtocol(in.Protocol, "listeners"); err != nil {
		return nil, err
	}
	l := &Listener{
		Object: t.newObject(in.ID, in.Common), Protocol: Protocol(in.Protocol), ProtocolPort: in.ProtocolPort,
		ConnectionLimit: -1, TimeoutClientDataMs: defaultTimeoutMs,
		TimeoutMemberConnectMs: defaultConnectMs, TimeoutMemberDataMs: defaultTimeoutMs,
	}
	if err := t.setListener(l, in.ListenerAttrs); err != nil {
		return nil, err
	}
	for _, other := range t.Listeners {
		if other.ProtocolPort == l.ProtocolPort && !other.Deleted { // all protocols served so far run over TCP
			return nil, errConflict("protocol_port",
				"Another Listener on this Load Balancer is already using protocol %s and protocol_port %d", other.Protocol, other.ProtocolPort)
		}
	}
	t.Listeners = append(t.Listeners, l)
	t.touch(&t.Object)
	return l, nil
}

// UpdateListener changes a listener.
func (t *LoadBalancer) UpdateListener(id string, in ListenerAttrs) (*Listener, error) {
	l, err := t.Listener(id)
	if err != nil {
		return nil, err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return nil, err
	}
	if err := t.setListener(l, in); err != nil {
		return nil, err
	}
	in.apply(&l.Object)
	t.touch(&t.Object, &l.Object)
	return l, nil
}

// DeleteListener removes a listener; its default pool stays.
func (t *LoadBalancer) DeleteListener(id string) error {
	l, err := t.Listener(id)
	if err != nil {
		return err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return err
	}
	t.remove(&l.Object)
	t.touch(&t.Object)
	return nil
}

// setListener checks and writes the attributes beyond the common ones.
func (t *LoadBalancer) setListener(l *Listener, in ListenerAttrs) error {
	if err := t.checkCIDRs(in.AllowedCIDRs.Value); err != nil {
		return err
	}
	if err := t.setDefaultPool(l, in.DefaultPoolID); err != nil {
		return err
	}
	in.Description.Into(&l.Description, "")
	in.ConnectionLimit.Into(&l.ConnectionLimit, -1)
	in.TimeoutClientDataMs.Into(&l.TimeoutClientDataMs, defaultTimeoutMs)
	in.TimeoutMemberConnectMs.Into(&l.TimeoutMemberConnectMs, defaultConnectMs)
	in.TimeoutMemberDataMs.Into(&l.TimeoutMemberDataMs, defaultTimeoutMs)
	in.TimeoutTCPInspectMs.Into(&l.TimeoutTCPInspectMs, 0)
	if in.AllowedCIDRs.Set {
		l.AllowedCIDRs = uniqueCIDRs(in.AllowedCIDRs.Value)
	}
	return nil
}

// setDefaultPool attaches the listener to a pool of this load balancer, or detaches it.
func (t *LoadBalancer) setDefaultPool(l *Listener, in Opt[string]) error {
	if !in.Set || in.Or("") == l.DefaultPoolID {
		return nil
	}
	if in.Or("") != "" {
		p, err := t.Pool(in.Value)
		if err != nil {
			return err
		}
		if err := t.mutable(KindPool, &p.Object); err != nil {
			return err
		}
	}
	l.DefaultPoolID = in.Or("")
	return nil
}

// checkCIDRs refuses networks of an IP version that no VIP has.
func (t *LoadBalancer) checkCIDRs(cidrs []netip.Prefix) error {
	for _, c := range cidrs {
		if c.Addr().Is4() != t.VIP.Address.Is4() {
			return ErrValidation("allowed_cidrs", "CIDR %s IP version incompatible with all VIPs ['%s'] IP version.", c, t.VIP.Address)
		}
	}
	return nil
}

func uniqueCIDRs(cidrs []netip.Prefix) []netip.Prefix {
	unique := slices.Clone(cidrs)
	slices.SortFunc(unique, func(a, b netip.Prefix) int { return strings.Compare(a.String(), b.String()) })
	return slices.Compact(unique)
}

// supportedProtocol refuses what the data plane does not carry.
func supportedProtocol(protocol, of string) error {
	if Protocol(protocol) == TCP {
		return nil
	}
	return ErrUnsupported("protocol", "%s protocol %s are not supported.", protocol, of)
}
