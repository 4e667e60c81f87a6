package octavia

import (
	"encoding/json"
	"iter"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"poise/internal/lb"
)

var listeners = &resource{
	kind: lb.KindListener, policy: "listener", path: "/listeners",
	envelope: "listener", plural: "listeners", argument: "listener_",

	attributes: slices.Concat(projectAttributes(), attributes{
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
			name: "loadbalancer_id", aliases: []string{"load_balancer_id"}, use: mandatory | hidden, kind: identity,
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
			read: func(o object) any { return networkList(o.listener.AllowedCIDRs) },
		},
		{name: "insert_headers", use: changeable | composed, kind: headers, read: readHeaders},
		{
			name: "l7policies", use: onCreate | composed, kind: noChildren,
			read: func(o object) any { return references(o.listener.Policies) },
		},
		{name: "default_pool", use: onCreate | hidden | composed, kind: noChildren},
		secret("default_tls_container_ref", "tls_certificate_id", func(o object) string { return o.listener.DefaultTLSContainerRef }),
		{
			name: "sni_container_refs", aliases: []string{"sni_containers"}, use: changeable | composed, kind: texts,
			read: func(o object) any { return append([]string{}, o.listener.SNIContainerRefs...) },
		},
		secret("client_ca_tls_container_ref", "client_ca_tls_certificate_id", func(o object) string { return o.listener.ClientCATLSContainerRef }),
		{
			name: "client_authentication", use: changeable, kind: oneOf(lb.ClientAuthentications...),
			read: func(o object) any { return o.listener.ClientAuthentication },
		},
		secret("client_crl_container_ref", "client_crl_container_id", func(o object) string { return o.listener.ClientCRLContainerRef }),
		{name: "hsts_max_age", use: changeable, kind: integer(0, unlimited), read: readHSTSMaxAge},
		{
			name: "hsts_include_subdomains", use: changeable, kind: boolean,
			read: func(o object) any { return o.listener.HSTSIncludeSubdomains },
		},
		{name: "hsts_preload", use: changeable, kind: boolean, read: func(o object) any { return o.listener.HSTSPreload }},
		fixed("peer_port", hidden, nil, nil), // of Octavia's pairs of virtual machines
		tagsAttribute,
	}, handshakeAttributes(func(o object) lb.Handshake { return o.listener.Handshake })),

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
		_, err := t.CreateListener(listenerCreate(id, in))
		return err
	},
	update: func(t *lb.LoadBalancer, o object, in values) error {
		_, err := t.UpdateListener(o.base.ID, listenerAttrs(in))
		return err
	},
	references: func(o object) lb.References { return o.listener.References() },
	remove:     func(t *lb.LoadBalancer, o object) error { return t.DeleteListener(o.base.ID) },
}

// listenerCreate is a new listener, with what is below it where the request may say so.
func listenerCreate(id string, in values) lb.ListenerCreate {
	l := lb.ListenerCreate{
		ListenerAttrs: listenerAttrs(in), ID: id,
		Protocol: get[string](in, "protocol"), ProtocolPort: get[int](in, "protocol_port"),
	}
	if p := get[values](in, "default_pool"); p != nil {
		pool := poolCreate(uuid.NewString(), p)
		l.DefaultPool = &pool
	}
	for _, p := range get[[]values](in, "l7policies") {
		l.Policies = append(l.Policies, policyCreate(uuid.NewString(), p))
	}
	return l
}

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
		InsertHeaders:          opt[map[string]*string](in, "insert_headers"),

		DefaultTLSContainerRef:  opt[string](in, "default_tls_container_ref"),
		SNIContainerRefs:        opt[[]string](in, "sni_container_refs"),
		ClientCATLSContainerRef: opt[string](in, "client_ca_tls_container_ref"),
		ClientCRLContainerRef:   opt[string](in, "client_crl_container_ref"),
		ClientAuthentication:    opt[string](in, "client_authentication"),
		HandshakeAttrs:          handshake(in),
		HSTSMaxAgeSec:           opt[int](in, "hsts_max_age"),
		HSTSIncludeSubdomains:   opt[bool](in, "hsts_include_subdomains"),
		HSTSPreload:             opt[bool](in, "hsts_preload"),
	}
}

// timeout is an attribute in milliseconds.
func timeout(name string, read func(*lb.Listener) int) attribute {
	return attribute{
		name: name, use: changeable, kind: integer(0, lb.MaxTimeoutMs),
		read: func(o object) any { return read(o.listener) },
	}
}

// headers are names and values of HTTP headers; a value may be null.
func headers(name string, v any) (any, error) {
	given, err := dict(name, v)
	if err != nil {
		return nil, err
	}
	all := map[string]*string{}
	for header, value := range given.(map[string]any) {
		if value == nil {
			all[header] = nil
			continue
		}
		s, err := text(lb.MaxName)(name, value)
		if err != nil {
			return nil, err
		}
		value := s.(string)
		all[header] = &value
	}
	return all, nil
}

func readHeaders(o object) any {
	if o.listener.InsertHeaders == nil {
		return map[string]any{}
	}
	return o.listener.InsertHeaders
}

func readHSTSMaxAge(o object) any {
	if o.listener.HSTSMaxAgeSec == nil {
		return nil
	}
	return *o.listener.HSTSMaxAgeSec
}

// networkList shows networks; none at all is null, never an empty list.
type networkList []netip.Prefix

// MarshalJSON is what answers show.
func (l networkList) MarshalJSON() ([]byte, error) {
	if len(l) == 0 {
		return []byte("null"), nil
	}
	return json.Marshal([]netip.Prefix(l))
}

// referredTo reads the load balancer that is, or holds, the object that an attribute of the request names.
func (c *call) referredTo(kind lb.Kind, name string, in request) (lb.Snapshot, error) {
	id := get[string](in.values, name)
	if id == "" {
		return lb.Snapshot{}, lb.ErrNotFound(kind, "None") // what Octavia says for null
	}
	return snapshot(c.r.Context(), c.Control, kind, id)
}
