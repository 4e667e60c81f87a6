package control

import (
	"poise/internal/dataplane"
	"poise/internal/lb"
)

// speaksTLS tells whether a listener speaks TLS with its clients.
func speaksTLS(l *lb.Listener) bool {
	return l.Protocol == lb.TerminatedHTTPS || l.Protocol == lb.Prometheus && len(l.References().Certificates) > 0
}

// handshake leaves the choice of ciphers to the data plane where nobody has chosen: Octavia's list has none for TLS 1.1 and before.
func handshake(h lb.Handshake) dataplane.Handshake {
	compiled := dataplane.Handshake{Versions: h.Versions, ALPN: h.ALPNProtocols}
	if !h.HasDefaultCiphers() {
		compiled.Ciphers = h.Ciphers
	}
	return compiled
}

// server is how a listener speaks TLS; false when something that it refers to is missing. Without a default certificate
// the first of the others serves as one.
func (k *keyring) server(l *lb.Listener) (*dataplane.ServerTLS, bool) {
	refs := l.References()
	tls := &dataplane.ServerTLS{Handshake: handshake(l.Handshake), ClientAuth: dataplane.ClientAuth(l.ClientAuthentication)}
	for _, ref := range refs.Certificates {
		certificate, ok := k.certificates[ref]
		if !ok {
			return nil, false
		}
		tls.Certificates = append(tls.Certificates, certificate.Certificate)
	}
	var complete bool
	tls.ClientCAs, tls.Revocations, complete = k.trust(refs)
	return tls, complete && len(tls.Certificates) > 0
}

// client is how a pool speaks TLS with its members; false when something that it refers to is missing.
func (k *keyring) client(p *lb.Pool) (*dataplane.ClientTLS, bool) {
	refs := p.References()
	tls := &dataplane.ClientTLS{Handshake: handshake(p.Handshake)}
	for _, ref := range refs.Certificates {
		certificate, ok := k.certificates[ref]
		if !ok {
			return nil, false
		}
		tls.Certificate = &certificate.Certificate
	}
	var complete bool
	if tls.CAs, tls.Revocations, complete = k.trust(refs); !complete {
		return nil, false
	}
	return tls, true
}

// trust is whom a peer's certificate must come from, and which are revoked.
func (k *keyring) trust(refs lb.References) (authorities, revocations [][]byte, complete bool) {
	hasCA, hasCRL := true, true
	if refs.CA != "" {
		authorities, hasCA = k.lists[listKey{refs.CA, ""}]
	}
	if refs.CRL != "" {
		revocations, hasCRL = k.lists[listKey{refs.CRL, refs.CA}]
	}
	return authorities, revocations, hasCA && hasCRL
}
