// Package tlsconf makes configurations of crypto/tls out of what the data plane was told: certificates by name, versions,
// OpenSSL's names of ciphers, client authentication with revocations. It also says what a handshake has shown of the
// client, in the words of OpenSSL, which L7 rules and inserted headers use.
//
// Certificates, keys and lists of revocations that several configurations have in common are parsed once and shared, so that
// it costs little to make the configurations of many listeners again.
package tlsconf

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"

	"poise/internal/dataplane"
)

// serverGroups are the key exchanges that clients may choose of. With the first one recorded traffic stays secret from future
// quantum computers; it costs an encapsulation of ML-KEM, and only where a client offers it, as browsers do. The other hybrids
// of crypto/tls are left out: a client that lists one without sending a share for it would be asked to try again.
var serverGroups = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// memberGroups leaves the hybrid out: members are near, and every full handshake would pay for its keys.
var memberGroups = []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}

// Server makes the configuration of a listener. keys are those of its session tickets, which live longer than one
// configuration. Errors are fit for the user's eyes.
func Server(c *dataplane.ServerTLS, keys *TicketKeys) (*tls.Config, error) {
	config, versions, err := newConfig(&c.Handshake)
	if err != nil {
		return nil, err
	}
	certificates, err := newCertificates(c.Certificates)
	if err != nil {
		return nil, err
	}
	config.GetCertificate = certificates.choose
	config.CurvePreferences = serverGroups
	if err := authenticateClients(config, c); err != nil {
		return nil, err
	}
	keys.use(config, authenticationID(c))
	config.GetConfigForClient = adapt(config, versions)
	return config, nil
}

// authenticateClients asks clients for certificates where c wants it.
func authenticateClients(config *tls.Config, c *dataplane.ServerTLS) error {
	switch c.ClientAuth {
	case dataplane.OptionalClientAuth:
		config.ClientAuth = tls.VerifyClientCertIfGiven
	case dataplane.RequiredClientAuth:
		config.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		return nil
	}
	if len(c.ClientCAs) == 0 {
		return errors.New("client authentication needs the certificate of an authority")
	}
	pool, err := newAuthorities(c.ClientCAs)
	if err != nil {
		return fmt.Errorf("authorities of clients: %w", err)
	}
	config.ClientCAs = pool
	lists, err := newRevocations(c.Revocations)
	if err != nil {
		return fmt.Errorf("revoked clients: %w", err)
	}
	if lists != nil {
		config.VerifyConnection = func(state tls.ConnectionState) error { return lists.verify(state.VerifiedChains) }
	}
	return nil
}

// preferred are the protocols of ALPN, HTTP/2 first and the others newest first: the API has a set of them, whose order means nothing.
func preferred(protocols []string) []string {
	order := []string{"h2", "http/1.1", "http/1.0"}
	sorted := slices.Clone(protocols)
	slices.SortStableFunc(sorted, func(a, b string) int {
		return cmp.Compare(uint(slices.Index(order, a)), uint(slices.Index(order, b)))
	})
	return sorted
}

// newConfig is what both sides have in common.
func newConfig(c *dataplane.Handshake) (*tls.Config, versions, error) {
	versions, err := newVersions(c.Versions)
	if err != nil {
		return nil, nil, err
	}
	suites, err := parseCiphers(c.Ciphers, versions.lowest())
	if err != nil {
		return nil, nil, err
	}
	if c.Ciphers == "" && versions.lowest() < tls.VersionTLS13 {
		suites = defaultSuites(versions)
	}
	if err := versions.checkSuites(suites, c.Ciphers); err != nil {
		return nil, nil, err
	}
	return &tls.Config{
		MinVersion:   versions.lowest(),
		MaxVersion:   versions.highest(),
		CipherSuites: suites,
		NextProtos:   preferred(c.ALPN),
		// Small records at the start of a flow help browsers to paint early, and cost everybody else: HAProxy does not make them.
		DynamicRecordSizingDisabled: true,
	}, versions, nil
}
