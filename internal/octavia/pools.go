package octavia

import (
	"iter"
	"slices"

	"github.com/google/uuid"

	"poise/internal/lb"
)

var pools = &resource{
	kind: lb.KindPool, policy: "pool", path: "/pools",
	envelope: "pool", plural: "pools", argument: "pool_",

	attributes: slices.Concat(projectAttributes(), attributes{
		idAttribute, nameAttribute,
		description(func(o object) string { return o.pool.Description }),
		provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{
			name: "protocol", use: mandatory, kind: oneOf(lb.PoolProtocols...),
			read: func(o object) any { return string(o.pool.Protocol) },
		},
		{
			name: "lb_algorithm", use: mandatory | onUpdate, kind: oneOf(lb.Algorithms...),
			read: func(o object) any { return string(o.pool.Algorithm) },
		},
		{
			name: "loadbalancer_id", aliases: []string{"load_balancer_id"}, use: onCreate | hidden, kind: identity,
			read: func(o object) any { return o.Tree.ID },
		},
		{
			name: "listener_id", use: onCreate | hidden | composed, kind: identity,
			read: func(o object) any { return references(o.Tree.ListenersOf(o.pool.ID)) },
		},
		{
			name: "session_persistence", use: changeable | composed,
			kind: part("pool_.pool.session_persistence", persistenceAttributes), read: readPersistence,
		},
		loadBalancersAttribute,
		{
			name: "listeners", use: composed,
			read: func(o object) any { return references(o.Tree.ListenersOf(o.pool.ID)) },
		},
		{
			name: "members", use: onCreate | composed, kind: noChildren,
			read: func(o object) any { return references(o.pool.Members) },
		},
		{name: "healthmonitor", use: onCreate | hidden | composed, kind: noChildren},
		{name: "healthmonitor_id", aliases: []string{"health_monitor_id"}, read: readMonitorID},
		{name: "tls_enabled", use: changeable, kind: boolean, read: func(o object) any { return o.pool.TLSEnabled }},
		secret("tls_container_ref", "tls_certificate_id", func(o object) string { return o.pool.TLSContainerRef }),
		secret("ca_tls_container_ref", "ca_tls_certificate_id", func(o object) string { return o.pool.CATLSContainerRef }),
		secret("crl_container_ref", "crl_container_id", func(o object) string { return o.pool.CRLContainerRef }),
		tagsAttribute,
	}, handshakeAttributes(func(o object) lb.Handshake { return o.pool.Handshake })),

	objects: func(s lb.Snapshot, _ string) iter.Seq[object] {
		return func(yield func(object) bool) {
			for _, p := range s.Tree.Pools {
				if !yield(object{Snapshot: s, base: &p.Object, pool: p}) {
					return
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) {
		switch {
		case in.values["loadbalancer_id"] != nil:
			return c.referredTo(lb.KindLoadBalancer, "loadbalancer_id", in)
		case in.values["listener_id"] != nil:
			return c.referredTo(lb.KindListener, "listener_id", in)
		default:
			return lb.Snapshot{}, lb.ErrValidation("", "Must provide at least one of: loadbalancer_id, listener_id")
		}
	},
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreatePool(poolCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdatePool(o.base.ID, poolAttrs(in))
		return err
	},
	references: func(o object) lb.References { return o.pool.References() },
	remove:     func(t *lb.LoadBalancer, o object) error { return t.DeletePool(o.base.ID) },
}

// persistenceAttributes are those of a pool's session_persistence.
var persistenceAttributes = attributes{
	{name: "type", use: onCreate, kind: oneOf(lb.PersistenceTypes...)},
	{name: "cookie_name", use: onCreate, kind: matching(`^[^\s,;\\]+$`)},
	{name: "persistence_timeout", use: onCreate, kind: integer(0, unlimited)},
	{name: "persistence_granularity", use: onCreate, kind: asWritten},
}

func poolAttrs(in values) lb.PoolAttrs {
	return lb.PoolAttrs{
		Common:            common(in),
		Description:       opt[string](in, "description"),
		Algorithm:         algorithm(in),
		Persistence:       persistence(opt[values](in, "session_persistence")),
		TLSEnabled:        opt[bool](in, "tls_enabled"),
		TLSContainerRef:   opt[string](in, "tls_container_ref"),
		CATLSContainerRef: opt[string](in, "ca_tls_container_ref"),
		CRLContainerRef:   opt[string](in, "crl_container_ref"),
		HandshakeAttrs:    handshake(in),
	}
}

// poolCreate is a new pool, with what is below it where the request may say so.
func poolCreate(id string, in values) lb.PoolCreate {
	p := lb.PoolCreate{
		PoolAttrs: poolAttrs(in), ID: id,
		Protocol: get[string](in, "protocol"), ListenerID: get[string](in, "listener_id"),
		NameOnly: len(in) == 1 && in["name"] != nil,
	}
	for _, m := range get[[]values](in, "members") {
		p.Members = append(p.Members, memberCreate(uuid.NewString(), m))
	}
	if h := get[values](in, "healthmonitor"); h != nil {
		monitor := monitorCreate(uuid.NewString(), h)
		p.Monitor = &monitor
	}
	return p
}

func persistence(in lb.Opt[values]) lb.Opt[lb.SessionPersistence] {
	all := lb.Opt[lb.SessionPersistence]{Set: in.Set, Null: in.Null}
	mask := get[written](in.Value, "persistence_granularity")
	all.Value = lb.SessionPersistence{
		Type: get[string](in.Value, "type"), CookieName: get[string](in.Value, "cookie_name"),
		Granularity: mask.Addr, GranularityText: mask.text,
	}
	if seconds, ok := in.Value["persistence_timeout"].(int); ok {
		all.Value.TimeoutSec = &seconds
	}
	return all
}

func algorithm(in values) lb.Opt[lb.Algorithm] {
	name := opt[string](in, "lb_algorithm")
	return lb.Opt[lb.Algorithm]{Set: name.Set, Null: name.Null, Value: lb.Algorithm(name.Value)}
}

func readPersistence(o object) any {
	if o.pool.Persistence == nil {
		return nil
	}
	stored := o.pool.Persistence
	shown := map[string]any{
		"type": stored.Type, "cookie_name": orNull(stored.CookieName),
		"persistence_timeout": nil, "persistence_granularity": orNull(written{stored.Granularity, stored.GranularityText}),
	}
	if stored.TimeoutSec != nil {
		shown["persistence_timeout"] = *stored.TimeoutSec
	}
	return shown
}

// readMonitorID leaves the attribute out of a pool without health monitor, as Octavia does: the openstack client shows
// a missing value as empty, and null as "None".
func readMonitorID(o object) any {
	if o.pool.Monitor == nil {
		return absent
	}
	return o.pool.Monitor.ID
}
