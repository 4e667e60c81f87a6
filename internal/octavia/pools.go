package octavia

import (
	"iter"

	"poise/internal/lb"
)

var pools = &resource{
	kind: lb.KindPool, policy: "pool", path: "/pools",
	envelope: "pool", plural: "pools", argument: "pool_",

	attributes: append(projectAttributes(), attributes{
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
			name: "loadbalancer_id", alias: "load_balancer_id", use: onCreate | hidden, kind: identity,
			read: func(o object) any { return o.Tree.ID },
		},
		{name: "listener_id", use: onCreate, kind: identity},
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
			name: "members", use: onCreate | composed, kind: list(maxList), unserved: true,
			read: func(o object) any { return references(o.pool.Members) },
		},
		fixed("healthmonitor", onCreate|hidden|composed, dict, nil),
		{name: "healthmonitor_id", read: readMonitorID},
		fixed("tls_enabled", changeable, boolean, false),
		fixed("tls_container_ref", changeable, text(lb.MaxName), nil),
		fixed("ca_tls_container_ref", changeable, text(lb.MaxName), nil),
		fixed("crl_container_ref", changeable, text(lb.MaxName), nil),
		fixed("tls_ciphers", changeable, text(maxCiphers), nil),
		fixed("tls_versions", changeable|composed, list(maxList), nil),
		fixed("alpn_protocols", changeable|composed, list(maxList), nil),
		tagsAttribute,
	}...),

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
		_, err := t.CreatePool(lb.PoolCreate{
			PoolAttrs: poolAttrs(in), ID: id,
			Protocol: get[string](in, "protocol"), ListenerID: get[string](in, "listener_id"),
		})
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdatePool(o.base.ID, poolAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeletePool(o.base.ID) },
}

// persistenceAttributes are those of a pool's session_persistence.
var persistenceAttributes = attributes{
	{name: "type", use: onCreate, kind: oneOf(lb.PersistenceTypes...)},
	{name: "cookie_name", use: onCreate, kind: matching(`^[^\s,;\\]+$`)},
	{name: "persistence_timeout", use: onCreate, kind: integer(0, unlimited)},
	{name: "persistence_granularity", use: onCreate, kind: address},
}

func poolAttrs(in values) lb.PoolAttrs {
	attrs := lb.PoolAttrs{
		Common:      common(in),
		Description: opt[string](in, "description"),
		Algorithm:   algorithm(in),
	}
	if persistence := opt[values](in, "session_persistence"); persistence.Set {
		attrs.Persistence.Set, attrs.Persistence.Null = true, persistence.Null
		attrs.Persistence.Value.Type = get[string](persistence.Value, "type")
		for _, name := range []string{"cookie_name", "persistence_timeout", "persistence_granularity"} {
			if persistence.Value[name] != nil {
				attrs.PersistenceOptions = append(attrs.PersistenceOptions, name)
			}
		}
	}
	return attrs
}

func algorithm(in values) lb.Opt[lb.Algorithm] {
	name := opt[string](in, "lb_algorithm")
	return lb.Opt[lb.Algorithm]{Set: name.Set, Null: name.Null, Value: lb.Algorithm(name.Value)}
}

func readPersistence(o object) any {
	if o.pool.Persistence == nil {
		return nil
	}
	return map[string]any{
		"type": o.pool.Persistence.Type, "cookie_name": nil, "persistence_timeout": nil, "persistence_granularity": nil,
	}
}

// readMonitorID leaves the attribute out of a pool without health monitor, as Octavia does: the openstack client shows
// a missing value as empty, and null as "None".
func readMonitorID(o object) any {
	if o.pool.Monitor == nil {
		return absent
	}
	return o.pool.Monitor.ID
}
