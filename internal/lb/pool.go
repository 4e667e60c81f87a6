package lb

import "slices"

// PoolAttrs are the attributes of a pool that can be changed.
type PoolAttrs struct {
	Common
	Description Opt[string]
	Algorithm   Opt[Algorithm]
	Persistence Opt[SessionPersistence] // an empty Type keeps the stored one
	// PersistenceOptions names the further attributes of session_persistence that the request gave (cookie_name,
	// persistence_timeout, persistence_granularity).
	PersistenceOptions []string
}

// PoolCreate makes a pool. ListenerID, when set, gets it as its default pool.
type PoolCreate struct {
	PoolAttrs
	ID         string
	Protocol   string
	ListenerID string
}

// CreatePool adds a pool (octavia-rules.md §3).
func (t *LoadBalancer) CreatePool(in PoolCreate) (*Pool, error) {
	if err := t.mutable(KindLoadBalancer, &t.Object); err != nil {
		return nil, err
	}
	listener, err := t.freeListener(in.ListenerID)
	if err != nil {
		return nil, err
	}
	if err := supportedProtocol(in.Protocol, "pools"); err != nil {
		return nil, err
	}
	p := &Pool{Object: t.newObject(in.ID, in.Common), Protocol: Protocol(in.Protocol)}
	if err := setPool(p, in.PoolAttrs); err != nil {
		return nil, err
	}
	t.Pools = append(t.Pools, p)
	if listener != nil {
		listener.DefaultPoolID = p.ID
	}
	t.touchUsers(p)
	return p, nil
}

// freeListener finds the listener that a new pool is for, nil when id is "".
func (t *LoadBalancer) freeListener(id string) (*Listener, error) {
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
	if l.DefaultPoolID != "" {
		return nil, errConflict("listener_id", "This listener already has a default pool")
	}
	return l, nil
}

// UpdatePool changes a pool.
func (t *LoadBalancer) UpdatePool(id string, in PoolAttrs) (*Pool, error) {
	p, err := t.mutablePool(id)
	if err != nil {
		return nil, err
	}
	if err := setPool(p, in); err != nil {
		return nil, err
	}
	in.apply(&p.Object)
	t.touchUsers(p)
	return p, nil
}

// DeletePool removes a pool with its members and health monitor, and detaches it from its listeners.
func (t *LoadBalancer) DeletePool(id string) error {
	p, err := t.mutablePool(id)
	if err != nil {
		return err
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

func (t *LoadBalancer) mutablePool(id string) (*Pool, error) {
	p, err := t.Pool(id)
	if err != nil {
		return nil, err
	}
	return p, t.mutable(KindPool, &p.Object)
}

// setPool checks and writes the attributes beyond the common ones.
func setPool(p *Pool, in PoolAttrs) error {
	if in.Algorithm.Null {
		return ErrOption("lb_algorithm", "None", "lb_algorithm")
	}
	if in.Persistence.Set {
		persistence, err := mergePersistence(p.Persistence, in.Persistence, in.PersistenceOptions)
		if err != nil {
			return err
		}
		p.Persistence = persistence
	}
	in.Description.Into(&p.Description, "")
	in.Algorithm.Into(&p.Algorithm, "")
	return nil
}

func mergePersistence(stored *SessionPersistence, in Opt[SessionPersistence], options []string) (*SessionPersistence, error) {
	if in.Null {
		return nil, nil
	}
	wanted := in.Value
	if wanted.Type == "" && stored != nil {
		wanted.Type = stored.Type
	}
	switch {
	case wanted.Type == "":
		return nil, &Error{Code: Invalid, Field: "type", Message: "Invalid input for field/attribute type. Value: 'None'. Mandatory field missing."}
	case !slices.Contains(PersistenceTypes, wanted.Type):
		return nil, ErrOption("type", wanted.Type, "session_persistence")
	case slices.Contains(options, "persistence_timeout"), slices.Contains(options, "persistence_granularity"):
		return nil, ErrValidation("session_persistence", "persistence_timeout and persistence_granularity is only for UDP and SCTP protocol pools.")
	case slices.Contains(options, "cookie_name") && wanted.Type != "APP_COOKIE":
		return nil, ErrValidation("cookie_name", `Field "cookie_name" can only be specified with session persistence of type "APP_COOKIE".`)
	case !slices.Contains(options, "cookie_name") && wanted.Type == "APP_COOKIE":
		return nil, ErrValidation("cookie_name", `Field "cookie_name" must be specified when using the "APP_COOKIE" session persistence type.`)
	case wanted.Type != "SOURCE_IP":
		return nil, ErrUnsupported("session_persistence", "session persistence %s needs an HTTP pool.", wanted.Type)
	}
	return &wanted, nil
}
