package lb

import (
	"net/netip"
)

// Listener is a port on which a load balancer takes connections.
type Listener struct {
	Object
	Description            string         `json:"description"`
	Protocol               Protocol       `json:"protocol"`
	ProtocolPort           int            `json:"protocol_port"`
	ConnectionLimit        int            `json:"connection_limit"` // -1: unlimited
	DefaultPoolID          string         `json:"default_pool_id,omitempty"`
	TimeoutClientDataMs    int            `json:"timeout_client_data"`
	TimeoutMemberConnectMs int            `json:"timeout_member_connect"`
	TimeoutMemberDataMs    int            `json:"timeout_member_data"`
	TimeoutTCPInspectMs    int            `json:"timeout_tcp_inspect"`
	AllowedCIDRs           []netip.Prefix `json:"allowed_cidrs,omitempty"`
	// InsertHeaders are the headers of [HTTP] and [TerminatedHTTPS] listeners; those whose value is "true" in any case are
	// inserted. nil stands for null.
	InsertHeaders map[string]*string `json:"insert_headers,omitempty"`

	// References to the key manager.
	DefaultTLSContainerRef  string   `json:"default_tls_container_ref,omitempty"`
	SNIContainerRefs        []string `json:"sni_container_refs,omitempty"`
	ClientCATLSContainerRef string   `json:"client_ca_tls_container_ref,omitempty"`
	ClientCRLContainerRef   string   `json:"client_crl_container_ref,omitempty"`

	ClientAuthentication string `json:"client_authentication"`
	Handshake
	HSTSMaxAgeSec         *int `json:"hsts_max_age,omitempty"` // nil: no HSTS
	HSTSIncludeSubdomains bool `json:"hsts_include_subdomains,omitempty"`
	HSTSPreload           bool `json:"hsts_preload,omitempty"`

	// PolicyIDs are the policies in the order of their positions; some may be gone by now.
	PolicyIDs []string    `json:"policies,omitempty"`
	Policies  []*L7Policy `json:"-"` // in the same order
}

// ListenerAttrs are the attributes of a listener that can be changed.
type ListenerAttrs struct {
	Common
	Description             Opt[string]
	ConnectionLimit         Opt[int] // -1: unlimited
	DefaultPoolID           Opt[string]
	TimeoutClientDataMs     Opt[int]
	TimeoutMemberConnectMs  Opt[int]
	TimeoutMemberDataMs     Opt[int]
	TimeoutTCPInspectMs     Opt[int]
	AllowedCIDRs            Opt[[]netip.Prefix]
	InsertHeaders           Opt[map[string]*string]
	DefaultTLSContainerRef  Opt[string]
	SNIContainerRefs        Opt[[]string]
	ClientCATLSContainerRef Opt[string]
	ClientCRLContainerRef   Opt[string]
	ClientAuthentication    Opt[string]
	HandshakeAttrs
	HSTSMaxAgeSec         Opt[int]
	HSTSIncludeSubdomains Opt[bool]
	HSTSPreload           Opt[bool]
}

// ListenerCreate makes a listener.
type ListenerCreate struct {
	ListenerAttrs
	ID           string
	Protocol     string
	ProtocolPort int

	// DefaultPool and Policies come with a load balancer that is created with all that is below it.
	DefaultPool *PoolCreate
	Policies    []L7PolicyCreate
}

// CreateListener adds a listener (octavia-rules.md §2).
func (t *LoadBalancer) CreateListener(in ListenerCreate) (*Listener, error) {
	if err := t.mutable(KindLoadBalancer, &t.Object); err != nil {
		return nil, err
	}
	l := &Listener{
		Object: t.newObject(in.ID, in.Common), Protocol: Protocol(in.Protocol), ProtocolPort: in.ProtocolPort,
		ConnectionLimit: -1, TimeoutClientDataMs: defaultTimeoutMs,
		TimeoutMemberConnectMs: defaultConnectMs, TimeoutMemberDataMs: defaultTimeoutMs,
		ClientAuthentication: NoClientAuthentication,
	}
	l.set(in.ListenerAttrs, Handshake{})
	if err := t.checkNewListener(l, in.ListenerAttrs); err != nil {
		return nil, err
	}
	if l.Protocol == TerminatedHTTPS {
		l.fillIn()
	}
	t.Listeners = append(t.Listeners, l)
	t.touch(&t.Object)
	return l, nil
}

// checkNewListener asks the rules in Octavia's order.
func (t *LoadBalancer) checkNewListener(l *Listener, in ListenerAttrs) error {
	for _, rule := range []func() error{
		func() error { return t.checkDefaultPool(l, "") },
		l.checkInsertHeaders,
		l.checkCertificates,
		l.checkClientAuthentication,
		l.checkRevocations,
		func() error { return checkCiphers(l.Ciphers) },
		func() error { return t.checkPort(l) },
		func() error { return t.checkCIDRs(l.AllowedCIDRs) },
		func() error {
			if !l.kind().certificates {
				return nil
			}
			return in.checkVersions()
		},
		func() error {
			return l.checkHSTS("HSTS configuration options hsts_include_subdomains and hsts_preload only make sense if hsts_max_age is set as well.")
		},
		func() error { return checkServed(l.Protocol, "listeners") },
	} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
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
	before := l.DefaultPoolID
	l.set(in, defaultHandshake()) // whatever the protocol, as in Octavia
	if err := t.checkListener(l, in, before); err != nil {
		return nil, err
	}
	in.apply(&l.Object)
	t.touch(&t.Object, &l.Object)
	return l, nil
}

// checkListener asks the rules about a changed listener in Octavia's order, which is not the one of a new listener. It
// does not ask whether the last certificate, or the CA of client authentication, has been taken away.
func (t *LoadBalancer) checkListener(l *Listener, in ListenerAttrs, poolBefore string) error {
	for _, rule := range []func() error{
		func() error {
			if l.Protocol.datagrams() && (len(l.References().Certificates) > 0 || len(l.InsertHeaders) > 0) {
				return ErrValidation("", "%s protocol listener does not support TLS or header insertion.", l.Protocol)
			}
			return nil
		},
		func() error {
			if len(l.References().Certificates) == 0 {
				return nil
			}
			return l.checkCertificates()
		},
		func() error {
			if in.ClientAuthentication.Or(NoClientAuthentication) == NoClientAuthentication {
				return nil
			}
			return l.checkClientAuthentication()
		},
		l.checkInsertHeaders,
		l.checkRevocations,
		func() error { return t.checkCIDRs(in.AllowedCIDRs.Value) },
		func() error { return checkCiphers(l.Ciphers) },
		in.checkVersions,
		func() error {
			return l.checkHSTS("Cannot enable hsts_include_subdomains or hsts_preload if hsts_max_age was not set as well.")
		},
		func() error { return t.checkDefaultPool(l, poolBefore) },
	} {
		if err := rule(); err != nil {
			return err
		}
	}
	return nil
}

// DeleteListener removes a listener with its policies; its default pool stays.
func (t *LoadBalancer) DeleteListener(id string) error {
	l, err := t.Listener(id)
	if err != nil {
		return err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return err
	}
	for _, p := range l.Policies {
		t.removePolicy(p)
	}
	t.remove(&l.Object)
	t.touch(&t.Object)
	return nil
}

// set writes the attributes beyond the common ones; whether they may be so is asked afterwards. whenNull is what a null
// makes of the attributes of the handshake.
func (l *Listener) set(in ListenerAttrs, whenNull Handshake) {
	in.Description.Into(&l.Description, "")
	in.ConnectionLimit.Into(&l.ConnectionLimit, -1)
	in.DefaultPoolID.Into(&l.DefaultPoolID, "")
	in.TimeoutClientDataMs.Into(&l.TimeoutClientDataMs, defaultTimeoutMs)
	in.TimeoutMemberConnectMs.Into(&l.TimeoutMemberConnectMs, defaultConnectMs)
	in.TimeoutMemberDataMs.Into(&l.TimeoutMemberDataMs, defaultTimeoutMs)
	in.TimeoutTCPInspectMs.Into(&l.TimeoutTCPInspectMs, 0)
	if in.AllowedCIDRs.Set {
		l.AllowedCIDRs = unique(in.AllowedCIDRs.Value)
	}
	in.InsertHeaders.Into(&l.InsertHeaders, nil)
	in.DefaultTLSContainerRef.Into(&l.DefaultTLSContainerRef, "")
	in.SNIContainerRefs.Into(&l.SNIContainerRefs, nil)
	in.ClientCATLSContainerRef.Into(&l.ClientCATLSContainerRef, "")
	in.ClientCRLContainerRef.Into(&l.ClientCRLContainerRef, "")
	in.ClientAuthentication.Into(&l.ClientAuthentication, NoClientAuthentication)
	l.Handshake.set(in.HandshakeAttrs, whenNull)
	if in.HSTSMaxAgeSec.Set {
		l.HSTSMaxAgeSec = in.HSTSMaxAgeSec.pointer()
	}
	in.HSTSIncludeSubdomains.Into(&l.HSTSIncludeSubdomains, false)
	in.HSTSPreload.Into(&l.HSTSPreload, false)
}

// checkDefaultPool refuses a pool that is not this load balancer's, or not one for this listener. before is the default
// pool that the listener had.
func (t *LoadBalancer) checkDefaultPool(l *Listener, before string) error {
	if l.DefaultPoolID == before {
		return nil
	}
	return t.checkTarget(l, l.DefaultPoolID)
}

// checkTarget refuses a pool that the listener cannot send traffic to; "" is none.
func (t *LoadBalancer) checkTarget(l *Listener, poolID string) error {
	if poolID == "" {
		return nil
	}
	p, err := t.Pool(poolID)
	if err != nil {
		return err
	}
	if err := t.mutable(KindPool, &p.Object); err != nil {
		return err
	}
	return checkPairing(l.Protocol, p.Protocol)
}

// checkPort refuses a port that another listener has.
func (t *LoadBalancer) checkPort(l *Listener) error {
	for _, other := range t.Listeners {
		if other.ProtocolPort == l.ProtocolPort && other.kind().transport == l.kind().transport && !other.Deleted {
			return errConflict("protocol_port",
				"Another Listener on this Load Balancer is already using protocol %s and protocol_port %d", other.Protocol, other.ProtocolPort)
		}
	}
	return nil
}

// checkCIDRs refuses networks of an IP version that no VIP has, and any beside security groups. As long as the VIP has not
// been allocated there is nothing to compare with.
func (t *LoadBalancer) checkCIDRs(cidrs []netip.Prefix) error {
	if len(cidrs) > 0 && len(t.VIP.SecurityGroupIDs) > 0 {
		return errCIDRsAndGroups("allowed_cidrs")
	}
	for _, c := range cidrs {
		if t.VIP.Address.IsValid() && !t.VIP.hasFamilyOf(c.Addr()) {
			return ErrValidation("allowed_cidrs", "CIDR %s IP version incompatible with all VIPs %s IP version.", c, t.VIP.list())
		}
	}
	return nil
}
