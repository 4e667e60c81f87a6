package dataplane

// Certificate is a chain with its private key, all in DER: the leaf first, the key as PKCS#8.
type Certificate struct {
	Chain [][]byte
	Key   []byte
}

// Handshake is what both sides of TLS can be told.
type Handshake struct {
	Versions []string // TLSv1, TLSv1.1, TLSv1.2, TLSv1.3; none: the last two
	Ciphers  string   // OpenSSL's names with colons between, for versions before 1.3; "": all with forward secrecy that fit the versions
	ALPN     []string // in any order: HTTP/2 is preferred; none: not offered
}

// ClientAuth says what becomes of clients without a certificate.
type ClientAuth string

// The kinds of client authentication. A certificate that is presented and not good always ends the handshake.
const (
	NoClientAuth       ClientAuth = "NONE"      // none is asked for
	OptionalClientAuth ClientAuth = "OPTIONAL"  // the client goes on without
	RequiredClientAuth ClientAuth = "MANDATORY" // the handshake ends
)

// ServerTLS is how a listener speaks TLS with its clients.
type ServerTLS struct {
	Handshake
	// Certificates are chosen by the name that the client asks for (SNI); the first one serves all others.
	Certificates []Certificate
	ClientAuth   ClientAuth
	ClientCAs    [][]byte // DER
	Revocations  [][]byte // lists of revoked client certificates, DER
}

// ClientTLS is how a pool speaks TLS with its members.
type ClientTLS struct {
	Handshake
	Certificate *Certificate // presented to members; nil: none
	CAs         [][]byte     // DER; none: members' certificates are not verified
	Revocations [][]byte     // DER
}
