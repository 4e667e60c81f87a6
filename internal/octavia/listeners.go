package octavia

import (
	"iter"
	"net/netip"

	"poise/internal/lb"
)

var listeners = &resource{
	kind: lb.KindListener, policy: "listener", path: "/listeners",
	envelope: "listener", plural: "listeners", argument: "listener_",

	attributes: append(projectAttributes(), attributes{
		idAttribute, nameAttribute,
		description(func(o object) string { return o.listener.Description }),
		provisioningAttribute, operatingAttribute, adminAttribute, createdAttribute, updatedAttribute,
		{
			name: "protocol", use: mandatory, kind: oneOf(lb.ListenerProtocols...),
			read: func(o object) any { return string(o.listener.Protocol) },
		},
		{
			name: "protocol_port", use: mandatory, kind: integer(1, 65535),
			read: func(o object) any { return o.listener.ProtocolPort },
		},
		{
			name: "loadbalancer_id", alias: "load_balancer_id", use: mandatory | hidden, kind: identity,
			read: func(o object) any { return o.Tree.ID },
		},
		loadBalancersAttribute,
		{
			name: "connection_limit", use: changeable, kind: integer(-1, unlimited),
			read: func(o object) any { return o.listener.ConnectionLimit },
		},
		{
			name: "default_pool_id", use: changeable, kind: identity,
			read: func(o object) any { return orNull(o.listener.DefaultPoolID) },
		},
		timeout("timeout_client_data", func(l *lb.Listener) int { return l.TimeoutClientDataMs }),
		timeout("timeout_member_connect", func(l *lb.Listener) int { return l.TimeoutMemberConnectMs }),
		timeout("timeout_member_data", func(l *lb.Listener) int { return l.TimeoutMemberDataMs }),
		timeout("timeout_tcp_inspect", func(l *lb.Listener) int { return l.TimeoutTCPInspectMs }),
		{
			name: "allowed_cidrs", use: changeable | composed, kind: networks,
			read: func(o object) any { return cidrTexts(o.listener.AllowedCIDRs) },
		},
		fixed("insert_headers", changeable|composed, dict, map[string]any{}),
		fixed("l7policies", onCreate|composed, list(maxList), []any{}),
		fixed("default_pool", onCreate|hidden|composed, dict, nil),
		fixed("default_tls_container_ref", changeable, text(lb.MaxName), nil),
		fixed("sni_container_refs", changeable|composed, list(maxList), []any{}),
		fixed("client_ca_tls_container_ref", changeable, text(lb.MaxName), nil),
		fixed("client_authentication", changeable, oneOf("NONE", "OPTIONAL", "MANDATORY"), "NONE"),
		fixed("client_crl_container_ref", changeable, text(lb.MaxName), nil),
		fixed("tls_ciphers", changeable, text(maxCiphers), nil),
		fixed("tls_versions", changeable|composed, list(maxList), nil),
		fixed("alpn_protocols", changeable|composed, list(maxList), nil),
		fixed("hsts_max_age", changeable, integer(0, unlimited), nil),
		fixed("hsts_include_subdomains", changeable, boolean, false),
		fixed("hsts_preload", changeable, boolean, false),
		tagsAttribute,
	}...),

	objects: func(s lb.Snapshot, _ string) iter.Seq[object] {
		return func(yield func(object) bool) {
			for _, l := range s.Tree.Listeners {
				if !yield(object{Snapshot: s, base: &l.Object, listener: l}) {
					return
				}
			}
		}
	},
	parent: func(c *call, in request) (lb.Snapshot, error) {
		return c.referredTo(lb.KindLoadBalancer, "loadbalancer_id", in)
	},
	create: func(t *lb.LoadBalancer, id string, in values) error {
		_, err := t.CreateListener(lb.ListenerCreate{
			ListenerAttrs: listenerAttrs(in), ID: id,
			Protocol: get[string](in, "protocol"), ProtocolPort: get[int](in, "protocol_port"),
		})
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateListener(o.base.ID, listenerAttrs(in))
		return err
	},
	remove: func(t *lb.LoadBalancer, o object) error { return t.DeleteListener(o.base.ID) },
}

// maxCiphers bounds a list of ciphers, in characters.
const maxCiphers = 2_048

func listenerAttrs(in values) lb.ListenerAttrs {
	return lb.ListenerAttrs{
		Common:                 common(in),
		Description:            opt[string](in, "description"),
		ConnectionLimit:        opt[int](in, "connection_limit"),
		DefaultPoolID:          opt[string](in, "default_pool_id"),
		TimeoutClientDataMs:    opt[int](in, "timeout_client_data"),
		TimeoutMemberConnectMs: opt[int](in, "timeout_member_connect"),
		TimeoutMemberDataMs:    opt[int](in, "timeout_member_data"),
		TimeoutTCPInspectMs:    opt[int](in, "timeout_tcp_inspect"),
		AllowedCIDRs:           opt[[]netip.Prefix](in, "allowed_cidrs"),
	}
}

// timeout is an attribute in milliseconds.
func timeout(name string, read func(*lb.Listener) int) attribute {
	return attribute{
		name: name, use: changeable, kind: integer(0, lb.MaxTimeoutMs),
		read: func(o object) any { return read(o.listener) },
	}
}

// cidrTexts shows networks; none at all is null, never an empty list.
func cidrTexts(networks []netip.Prefix) any {
	if len(networks) == 0 {
		return nil
	}
	texts := make([]string, len(networks))
	for i, n := range networks {
		texts[i] = n.String()
	}
	return texts
}

// referredTo reads the load balancer that is, or holds, the object that an attribute of the request names.
func (c *call) referredTo(kind lb.Kind, name string, in request) (lb.Snapshot, error) {
	id := get[string](in.values, name)
	if id == "" {
		return lb.Snapshot{}, lb.ErrNotFound(kind, "None") // what Octavia says for null
	}
	return snapshot(c.r.Context(), c.Control, kind, id)
}
