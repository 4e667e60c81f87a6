package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"poise/internal/dataplane"
)

// maxMemberConfigs of one pool are remembered, with their sessions: each for a member and a name that clients have asked for.
const maxMemberConfigs = 1024

// Client makes the configuration of a pool, for members that are to present a certificate for serverName ("": none is
// asked for, and no SNI is sent). Errors are fit for the user's eyes. For many connections see [NewMembers].
func Client(c *dataplane.ClientTLS, serverName string) (*tls.Config, error) {
	m, err := NewMembers(c)
	if err != nil {
		return nil, err
	}
	return m.Config(serverName, netip.AddrPort{}), nil
}

// Members makes the configurations for connections to the members of one pool. Sessions are resumed where a member knows them, each
// with the member and for the name that it was made with. It is safe for concurrent use.
type Members struct {
	base    *tls.Config
	mu      sync.RWMutex // guards configs
	configs map[memberName]*tls.Config
}

type memberName struct {
	serverName string
	member     netip.AddrPort
}

// NewMembers reads the configuration of a pool. Errors are fit for the user's eyes.
func NewMembers(c *dataplane.ClientTLS) (*Members, error) {
	base, versions, err := newConfig(&c.Handshake)
	if err != nil {
		return nil, err
	}
	if versions.gap() {
		base.MinVersion = versions.upperRun() // a client offers a range, and the higher part of it is the better one
	}
	base.CurvePreferences = memberGroups
	base.InsecureSkipVerify = true // crypto/tls would insist on a name; verifyMember checks what was asked for
	if c.Certificate != nil {
		certificate, err := newCertificate(c.Certificate)
		if err != nil {
			return nil, err
		}
		base.Certificates = []tls.Certificate{*certificate}
	}
	if len(c.CAs) > 0 {
		if err := verifyMembers(base, c); err != nil {
			return nil, err
		}
	}
	return &Members{base: base, configs: map[memberName]*tls.Config{}}, nil
}

// Config is for one connection to member, whose certificate is to be for serverName ("": for anything, and no SNI is sent).
func (m *Members) Config(serverName string, member netip.AddrPort) *tls.Config {
	key := memberName{serverName, member}
	m.mu.RLock()
	config := m.configs[key]
	m.mu.RUnlock()
	if config != nil {
		return config
	}
	config = m.base.Clone()
	config.ServerName = serverName
	config.ClientSessionCache = &session{}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.configs) >= maxMemberConfigs {
		clear(m.configs) // clients that invent names cost the others a full handshake, and no memory
	}
	m.configs[key] = config
	return config
}

// verifyMembers checks members' certificates: the chain, the name where there is one, and revocations.
func verifyMembers(config *tls.Config, c *dataplane.ClientTLS) error {
	roots, err := newAuthorities(c.CAs)
	if err != nil {
		return fmt.Errorf("authorities of members: %w", err)
	}
	lists, err := newRevocations(c.Revocations)
	if err != nil {
		return fmt.Errorf("revoked members: %w", err)
	}
	config.VerifyConnection = func(state tls.ConnectionState) error { return verifyMember(state, roots, lists) }
	return nil
}

func verifyMember(state tls.ConnectionState, roots *x509.CertPool, lists *revocations) error {
	if state.DidResume && lists == nil {
		return nil // verified when the session began, under the same configuration; crypto/tls looks at the date
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("the member has presented no certificate")
	}
	options := x509.VerifyOptions{Roots: roots, DNSName: state.ServerName, Intermediates: x509.NewCertPool()}
	for _, intermediate := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	chains, err := state.PeerCertificates[0].Verify(options)
	if err != nil || lists == nil {
		return err
	}
	return lists.verify(chains)
}

// session is the last one with a member: all that is ever wanted of the cache in one configuration.
type session struct {
	mu    sync.Mutex // guards state
	state *tls.ClientSessionState
}

// Get implements [tls.ClientSessionCache].
func (s *session) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.state != nil
}

// Put implements [tls.ClientSessionCache].
func (s *session) Put(_ string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}
