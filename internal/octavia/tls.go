package octavia

import (
	"reflect"
	"slices"

	"poise/internal/lb"
)

// secret is an attribute that refers to the key manager; stored is Octavia's name for it in storage.
func secret(name, stored string, read func(object) string) attribute {
	return attribute{
		name: name, aliases: []string{stored}, use: changeable, kind: text(lb.MaxName),
		read: func(o object) any { return orNull(read(o)) },
	}
}

// referring are the attributes that refer to the key manager.
var referring = []string{
	"default_tls_container_ref", "sni_container_refs", "client_ca_tls_container_ref", "client_crl_container_ref",
	"tls_container_ref", "ca_tls_container_ref", "crl_container_ref",
}

// refers tells whether the request refers to the key manager.
func (r request) refers() bool {
	return slices.ContainsFunc(referring, func(name string) bool { return r.values[name] != nil })
}

// checkReferences looks at what an object of the project refers to in the key manager, unless it referred to the same before.
func (c *call) checkReferences(projectID string, before, after lb.References) error {
	if reflect.DeepEqual(before, after) {
		return nil
	}
	return c.Certificates.Check(c.r.Context(), c.caller, projectID, after)
}

// handshakeAttributes are what listeners and pools with TLS offer their peers.
func handshakeAttributes(read func(object) lb.Handshake) attributes {
	return attributes{
		{
			name: "tls_ciphers", use: changeable, kind: text(lb.MaxCiphers),
			read: func(o object) any { return orNull(read(o).Ciphers) },
		},
		{
			name: "tls_versions", use: changeable | composed, kind: texts,
			read: func(o object) any { return listOrNull(read(o).Versions) },
		},
		{
			name: "alpn_protocols", use: changeable | composed, kind: protocolIDs,
			read: func(o object) any { return listOrNull(read(o).ALPNProtocols) },
		},
	}
}

func handshake(in values) lb.HandshakeAttrs {
	return lb.HandshakeAttrs{
		Ciphers:       opt[string](in, "tls_ciphers"),
		Versions:      opt[[]string](in, "tls_versions"),
		ALPNProtocols: opt[[]string](in, "alpn_protocols"),
	}
}

// protocolIDs are names of application protocols.
func protocolIDs(name string, v any) (any, error) {
	all, err := texts(name, v)
	if err != nil {
		return nil, err
	}
	for _, id := range all.([]string) {
		if !slices.Contains(lb.ALPNProtocols, id) {
			return nil, errInput(name, id, "Value should be a valid ALPN protocol ID")
		}
	}
	return all, nil
}

// listOrNull shows a list that has never been set as null.
func listOrNull(list []string) any {
	if list == nil {
		return nil
	}
	return list
}
