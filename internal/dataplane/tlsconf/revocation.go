package tlsconf

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

var sharedRevocations shared[revocations]

// revocations are lists of revoked certificates by their issuers' names.
type revocations struct {
	byIssuer map[string][]*revocationList // by the issuer's name in DER
}

// revocationList is one issuer's.
type revocationList struct {
	*x509.RevocationList
	serials map[string]bool // of revoked certificates, big endian
}

var errRevoked = errors.New("the certificate was revoked")

// deltaIndicator marks a list that only says what has changed since another one (RFC 5280 §5.2.4).
var deltaIndicator = asn1.ObjectIdentifier{2, 5, 29, 27}

// newRevocations is nil without lists: nothing is checked then.
func newRevocations(ders [][]byte) (*revocations, error) {
	if len(ders) == 0 {
		return nil, nil
	}
	return sharedRevocations.get(digestOf(ders...), func() (*revocations, error) {
		r := &revocations{byIssuer: map[string][]*revocationList{}}
		for _, der := range ders {
			list, err := parseRevocationList(der)
			if err != nil {
				return nil, err
			}
			issuer := string(list.RawIssuer)
			r.byIssuer[issuer] = append(r.byIssuer[issuer], list)
		}
		return r, nil
	})
}

func parseRevocationList(der []byte) (*revocationList, error) {
	parsed, err := x509.ParseRevocationList(der)
	if err != nil {
		return nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	for _, extension := range parsed.Extensions {
		if extension.Id.Equal(deltaIndicator) {
			return nil, errors.New("the list is a delta of another one; a complete list is needed")
		}
	}
	list := &revocationList{RevocationList: parsed, serials: make(map[string]bool, len(parsed.RevokedCertificateEntries))}
	for _, entry := range parsed.RevokedCertificateEntries {
		list.serials[string(entry.SerialNumber.Bytes())] = true
	}
	list.RevokedCertificateEntries = nil // millions of them are possible, and the serials say it all
	return list, nil
}

// verify wants one chain in which every certificate but the root has a list of its issuer that is valid now and does not name
// it, as OpenSSL does with X509_V_FLAG_CRL_CHECK_ALL. Without chains there is no certificate, and nothing to check.
func (r *revocations) verify(chains [][]*x509.Certificate) error {
	now := time.Now()
	var err error
	for _, chain := range chains {
		if err = r.verifyChain(chain, now); err == nil {
			return nil
		}
	}
	return err
}

func (r *revocations) verifyChain(chain []*x509.Certificate, now time.Time) error {
	for i, certificate := range chain[:len(chain)-1] {
		if err := r.verifyOne(certificate, chain[i+1], now); err != nil {
			return err
		}
	}
	return nil
}

func (r *revocations) verifyOne(certificate, issuer *x509.Certificate, now time.Time) error {
	covered := false
	for _, list := range r.byIssuer[string(certificate.RawIssuer)] {
		if list.CheckSignatureFrom(issuer) != nil {
			continue // of another authority with the same name, or with an earlier key
		}
		if list.serials[string(certificate.SerialNumber.Bytes())] {
			return errRevoked
		}
		covered = covered || !now.Before(list.ThisUpdate) && (list.NextUpdate.IsZero() || now.Before(list.NextUpdate))
	}
	if !covered {
		return fmt.Errorf("there is no list of revocations of %s that is valid now", certificate.Issuer)
	}
	return nil
}
