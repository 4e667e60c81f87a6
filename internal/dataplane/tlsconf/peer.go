package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
)

// Peer is what a handshake has shown of a client.
type Peer struct {
	ServerName string // SNI, "" without
	Version    string // "TLSv1.3"
	Cipher     string // OpenSSL's name
	Protocol   string // by ALPN: "h2", "http/1.1", "http/1.0" or ""
	Resumed    bool
	// Certificate is the client's; nil without one. It was verified.
	Certificate *x509.Certificate
}

// NewPeer reads what a completed handshake has shown.
func NewPeer(state tls.ConnectionState) *Peer {
	p := &Peer{
		ServerName: state.ServerName,
		Version:    versionName(state.Version),
		Cipher:     cipherName(state.CipherSuite),
		Protocol:   state.NegotiatedProtocol,
		Resumed:    state.DidResume,
	}
	if len(state.PeerCertificates) > 0 {
		p.Certificate = state.PeerCertificates[0]
	}
	return p
}

// VerifyResult is OpenSSL's code for the client's certificate: 0, as others end the handshake, and without one.
func (p *Peer) VerifyResult() int { return 0 }

// Subject and Issuer are in OpenSSL's slash form: "/C=DE/O=Example/CN=alice"; "" without a certificate.
func (p *Peer) Subject() string {
	if p.Certificate == nil {
		return ""
	}
	return oneLine(p.Certificate.RawSubject)
}

// Issuer is the name of who signed the certificate.
func (p *Peer) Issuer() string {
	if p.Certificate == nil {
		return ""
	}
	return oneLine(p.Certificate.RawIssuer)
}

// SubjectField is the first entry of that type (C, ST, L, O, OU, CN, emailAddress, …, or its long name) in the subject of the
// certificate.
func (p *Peer) SubjectField(name string) (value string, ok bool) {
	if p.Certificate == nil {
		return "", false
	}
	for attribute := range attributes(p.Certificate.RawSubject) {
		if attribute.named(name) {
			return string(attribute.value), true
		}
	}
	return "", false
}
