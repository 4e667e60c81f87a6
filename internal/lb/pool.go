package lb

// Algorithm is how a pool picks a member.
type Algorithm string

// Algorithms are Octavia's four; poise serves them all.
var Algorithms = []string{"ROUND_ROBIN", "LEAST_CONNECTIONS", "SOURCE_IP", "SOURCE_IP_PORT"}

// Pool is a set of members.
type Pool struct {
	Object
	Description string              `json:"description"`
	Protocol    Protocol            `json:"protocol"`
	Algorithm   Algorithm           `json:"lb_algorithm"`
	Persistence *SessionPersistence `json:"session_persistence,omitempty"`

	TLSEnabled bool `json:"tls_enabled,omitempty"` // towards the members
	// References to the key manager: the load balancer's own certificate, and what members' certificates must come from.
	TLSContainerRef   string `json:"tls_container_ref,omitempty"`
	CATLSContainerRef string `json:"ca_tls_container_ref,omitempty"`
	CRLContainerRef   string `json:"crl_container_ref,omitempty"`
	Handshake

	Members []*Member      `json:"-"`
	Monitor *HealthMonitor `json:"-"`
}

// PoolAttrs are the attributes of a pool that can be changed.
type PoolAttrs struct {
	Common
	Description Opt[string]
	Algorithm   Opt[Algorithm]
	Persistence Opt[SessionPersistence] // an empty Type keeps the stored one

	TLSEnabled        Opt[bool]
	TLSContainerRef   Opt[string]
	CATLSContainerRef Opt[string]
	CRLContainerRef   Opt[string]
	HandshakeAttrs
}

// PoolCreate makes a pool. ListenerID, when set, gets it as its default pool.
type PoolCreate struct {
	PoolAttrs
	ID         string
	Protocol   string
	ListenerID string

	// What follows comes with a load balancer that is created with all that is below it. A NameOnly pool is one that is
	// defined elsewhere in the same request.
	NameOnly bool
	Members  []MemberCreate
	Monitor  *HealthMonitorCreate
}

// CreatePool adds a pool (octavia-rules.md §3).
func (t *LoadBalancer) CreatePool(in PoolCreate) (*Pool, error) {
	if err := t.mutable(KindLoadBalancer, &t.Object); err != nil {
		return nil, err
	}
	p := &Pool{Object: t.newObject(in.ID, in.Common), Protocol: Protocol(in.Protocol)}
	if in.Persistence.Set {
		var err error
		if p.Persistence, err = p.mergePersistence(in.Persistence); err != nil {
			return nil, err
		}
	}
	listener, err := t.freeListener(in.ListenerID, p.Protocol)
	if err != nil {
		return nil, err
	}
	p.set(in.PoolAttrs, Handshake{})
	if err := p.checkNew(in.PoolAttrs); err != nil {
		return nil, err
	}
	if p.TLSEnabled {
		p.fillIn()
	}
	t.Pools = append(t.Pools, p)
	if listener != nil {
		listener.DefaultPoolID = p.ID
	}
	t.touchUsers(p)
	return p, nil
}

// freeListener finds the listener that a new pool is for, nil when id is "".
func (t *LoadBalancer) freeListener(id string, pool Protocol) (*Listener, error) {
	if id == "" {
		return nil, nil
	}
	l, err := t.Listener(id)
	if err != nil {
		return nil, err
	}
	if err := t.mutable(KindListener, &l.Object); err != nil {
		return nil, err
	}
	if err := checkPairing(l.Protocol, pool); err != nil {
		return nil, err
	}
	if l.DefaultPoolID != "" {
		return nil, errConflict("listener_id", "This listener already has a default pool")
	}
	return l, nil
}

// checkNew asks the rules about the rest of a new pool, in Octavia's order.
func (p *Pool) checkNew(in PoolAttrs) error {
	switch {
	case in.Algorithm.Or("") == "":
		return errAlgorithm()
	case p.CRLContainerRef != "" && p.CATLSContainerRef == "":
		return ErrValidation("crl_container_ref", "A CA certificate reference is required to specify a revocation list.")
	}
	if err := checkCiphers(p.Ciphers); err != nil {
		return err
	}
	if p.TLSEnabled {
		if err := in.checkVersions(); err != nil {
			return err
		}
	}
	return checkServed(p.Protocol, "pools")
}

// UpdatePool changes a pool.
func (t *LoadBalancer) UpdatePool(id string, in PoolAttrs) (*Pool, error) {
	p, err := t.mutablePool(id)
	if err != nil {
		return nil, err
	}
	if in.Algorithm.Null {
		return nil, errAlgorithm()
	}
	if in.Persistence.Set {
		if p.Persistence, err = p.mergePersistence(in.Persistence); err != nil {
			return nil, err
		}
	}
	p.set(in, Handshake{Ciphers: defaultCiphers, Versions: defaultTLSVersions})
	if err := p.checkRevocations(in); err != nil {
		return nil, err
	}
	if err := checkCiphers(p.Ciphers); err != nil {
		return nil, err
	}
	if err := in.checkVersions(); err != nil {
		return nil, err
	}
	in.apply(&p.Object)
	t.touchUsers(p)
	return p, nil
}

func errAlgorithm() error { return ErrOption("lb_algorithm", "None", "lb_algorithm") }

// DeletePool removes a pool with its members and health monitor, and detaches it from its listeners.
func (t *LoadBalancer) DeletePool(id string) error {
	p, err := t.mutablePool(id)
	if err != nil {
		return err
	}
	if policy := t.redirectTo(p.ID); policy != nil {
		return errConflict("", "Pool %s is in use by L7 policy %s", p.ID, policy.ID)
	}
	t.touchUsers(p)
	for _, l := range t.ListenersOf(p.ID) {
		l.DefaultPoolID = ""
	}
	for _, m := range p.Members {
		t.remove(&m.Object)
	}
	if p.Monitor != nil {
		t.remove(&p.Monitor.Object)
	}
	t.remove(&p.Object)
	return nil
}

// redirectTo is a policy that refers to the pool, enabled or not, or nil.
func (t *LoadBalancer) redirectTo(poolID string) *L7Policy {
	for _, l := range t.Listeners {
		for _, p := range l.Policies {
			if p.RedirectPoolID == poolID && !p.Deleted {
				return p
			}
		}
	}
	return nil
}

func (t *LoadBalancer) mutablePool(id string) (*Pool, error) {
	p, err := t.Pool(id)
	if err != nil {
		return nil, err
	}
	return p, t.mutable(KindPool, &p.Object)
}

// set writes the attributes beyond the common ones and the session persistence.
func (p *Pool) set(in PoolAttrs, whenNull Handshake) {
	in.Description.Into(&p.Description, "")
	in.Algorithm.Into(&p.Algorithm, "")
	in.TLSEnabled.Into(&p.TLSEnabled, false)
	in.TLSContainerRef.Into(&p.TLSContainerRef, "")
	in.CATLSContainerRef.Into(&p.CATLSContainerRef, "")
	in.CRLContainerRef.Into(&p.CRLContainerRef, "")
	p.Handshake.set(in.HandshakeAttrs, whenNull)
}
