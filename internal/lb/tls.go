package lb

import (
	"fmt"
	"slices"
	"strings"
)

// TLSVersions are the versions that a request may name, oldest first.
var TLSVersions = []string{"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// ALPNProtocols are the application protocols that a request may name.
var ALPNProtocols = []string{"h2", "http/1.1", "http/1.0"}

// ClientAuthentications say what becomes of clients without a certificate.
var ClientAuthentications = []string{NoClientAuthentication, "OPTIONAL", "MANDATORY"}

// NoClientAuthentication asks clients for no certificate.
const NoClientAuthentication = "NONE"

// What an object with TLS gets when its maker does not say (octavia-resources.md §2); nobody may write into these.
var (
	defaultTLSVersions   = []string{"TLSv1.2", "TLSv1.3"}
	defaultALPNProtocols = ALPNProtocols
	defaultCiphers       = strings.Join([]string{
		"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
		"ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
		"DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-CHACHA20-POLY1305",
	}, ":")
)

// Handshake is what an object with TLS offers its peer.
type Handshake struct {
	Ciphers       string   `json:"tls_ciphers,omitempty"` // an OpenSSL string; names that nobody knows are allowed
	Versions      []string `json:"tls_versions,omitempty"`
	ALPNProtocols []string `json:"alpn_protocols,omitempty"`
}

// HandshakeAttrs are the attributes of a [Handshake] that can be changed.
type HandshakeAttrs struct {
	Ciphers       Opt[string]
	Versions      Opt[[]string]
	ALPNProtocols Opt[[]string]
}

// HasDefaultCiphers says that the ciphers are those that nobody has chosen.
func (h *Handshake) HasDefaultCiphers() bool { return h.Ciphers == "" || h.Ciphers == defaultCiphers }

// fillIn gives a new object with TLS the defaults of what it does not say.
func (h *Handshake) fillIn() {
	if h.Ciphers == "" {
		h.Ciphers = defaultCiphers
	}
	if h.Versions == nil {
		h.Versions = defaultTLSVersions
	}
	if h.ALPNProtocols == nil {
		h.ALPNProtocols = defaultALPNProtocols
	}
}

// defaultHandshake is what an object with TLS offers when nobody says more.
func defaultHandshake() Handshake {
	var h Handshake
	h.fillIn()
	return h
}

func (h *Handshake) set(in HandshakeAttrs, whenNull Handshake) {
	in.Ciphers.Into(&h.Ciphers, whenNull.Ciphers)
	in.Versions.Into(&h.Versions, whenNull.Versions)
	in.ALPNProtocols.Into(&h.ALPNProtocols, whenNull.ALPNProtocols)
}

// checkCiphers refuses characters that no cipher has.
func checkCiphers(ciphers string) error {
	if strings.IndexFunc(ciphers, func(r rune) bool { return !alphanumeric(r) && !strings.ContainsRune("-+!:@=_.", r) }) >= 0 {
		return ErrValidation("tls_ciphers", "Invalid characters in cipher string. A cipher string may have letters, digits and -+!:@=_.")
	}
	return nil
}

// checkVersions refuses lists of versions and of application protocols that leave nothing to agree on.
func (in HandshakeAttrs) checkVersions() error {
	given := in.Versions.Set && !in.Versions.Null
	unknown := slices.DeleteFunc(slices.Clone(in.Versions.Value), func(v string) bool { return slices.Contains(TLSVersions, v) })
	switch {
	case given && len(in.Versions.Value) == 0:
		return ErrValidation("tls_versions", "Empty TLS version list. Either specify at least one TLS version or remove this parameter to use the default.")
	case len(unknown) > 0:
		return ErrValidation("tls_versions", "Invalid TLS versions: %s", strings.Join(unknown, ", "))
	case slices.Contains(in.Versions.Value, "SSLv3"):
		return ErrUnsupported("tls_versions", "SSLv3 is broken and not offered.")
	case in.ALPNProtocols.Set && !in.ALPNProtocols.Null && len(in.ALPNProtocols.Value) == 0:
		return ErrValidation("alpn_protocols", "Empty ALPN protocol list. Either specify at least one ALPN protocol or remove this parameter to use the default.")
	}
	return nil
}

// References are what an object with TLS refers to in the key manager.
type References struct {
	Certificates []string // each a certificate with its private key
	CA           string   // a certificate that the peer's must come from; "" when there is none
	CRL          string   // a list of certificates that CA has revoked
}

// References are what the listener refers to in the key manager.
func (l *Listener) References() References {
	refs := References{CA: l.ClientCATLSContainerRef, CRL: l.ClientCRLContainerRef}
	if l.DefaultTLSContainerRef != "" {
		refs.Certificates = append(refs.Certificates, l.DefaultTLSContainerRef)
	}
	refs.Certificates = append(refs.Certificates, l.SNIContainerRefs...)
	return refs
}

// References are what the pool refers to in the key manager.
func (p *Pool) References() References {
	refs := References{CA: p.CATLSContainerRef, CRL: p.CRLContainerRef}
	if p.TLSContainerRef != "" {
		refs.Certificates = append(refs.Certificates, p.TLSContainerRef)
	}
	return refs
}

// checkCertificates refuses references to certificates that do not fit the protocol or each other (octavia-rules.md §2).
func (l *Listener) checkCertificates() error {
	has := len(l.References().Certificates) > 0
	switch {
	case has && l.Protocol.datagrams():
		return ErrValidation("", "%s protocol listener does not support TLS.", l.Protocol)
	case has && !l.kind().certificates:
		return ErrValidation("", "Certificate container references are not allowed on %s protocol listeners.", l.Protocol)
	case l.ClientCATLSContainerRef != "" && !has:
		return ErrValidation("client_ca_tls_container_ref", "An SNI or default certificate container reference must be provided with a client CA container reference.")
	case l.Protocol == TerminatedHTTPS && !has:
		return ErrValidation("", "An SNI or default certificate container reference must be provided for TERMINATED_HTTPS protocol listeners.")
	}
	return nil
}

func (l *Listener) checkClientAuthentication() error {
	if l.ClientAuthentication != NoClientAuthentication && l.ClientCATLSContainerRef == "" {
		return ErrValidation("client_authentication", "Client authentication setting %s requires a client CA container reference.", l.ClientAuthentication)
	}
	return nil
}

func (l *Listener) checkRevocations() error {
	if l.ClientCRLContainerRef != "" && l.ClientCATLSContainerRef == "" {
		return ErrValidation("client_crl_container_ref", "A client authentication CA reference is required to specify a client authentication revocation list.")
	}
	return nil
}

// checkHSTS refuses details of HSTS without it; incomplete is what to say then.
func (l *Listener) checkHSTS(incomplete string) error {
	switch {
	case (l.HSTSIncludeSubdomains || l.HSTSPreload) && l.HSTSMaxAgeSec == nil:
		return ErrValidation("hsts_max_age", "%s", incomplete)
	case l.HSTSMaxAgeSec != nil && l.Protocol != TerminatedHTTPS:
		return ErrValidation("hsts_max_age", "The HSTS feature can only be used for listeners using the TERMINATED_HTTPS protocol.")
	}
	return nil
}

// checkRevocations refuses a CRL without a CA, whichever of the two the change is about.
func (p *Pool) checkRevocations(in PoolAttrs) error {
	switch {
	case p.CRLContainerRef == "" || p.CATLSContainerRef != "":
		return nil
	case in.CATLSContainerRef.Set:
		return ErrValidation("ca_tls_container_ref", "A CA reference cannot be removed when a certificate revocation list is present.")
	default:
		return ErrValidation("crl_container_ref", "A CA reference is required to specify a certificate revocation list.")
	}
}

func alphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// pythonList is a list as Octavia's messages print it.
func pythonList(items []string) string {
	return fmt.Sprintf("['%s']", strings.Join(items, "', '"))
}
