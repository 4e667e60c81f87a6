package tlsconf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"poise/internal/dataplane"
)

var (
	sharedCertificates shared[tls.Certificate]
	sharedAuthorities  shared[x509.CertPool]
)

// certificates are those of a listener, by the names that they are for.
type certificates struct {
	standard *tls.Certificate
	byName   map[string][]*tls.Certificate // lower case, "*.example.com" for wildcards
}

// newCertificates fails when one of them is not usable. The first one is the standard for unknown names.
func newCertificates(all []dataplane.Certificate) (*certificates, error) {
	if len(all) == 0 {
		return nil, errors.New("there is no certificate")
	}
	c := &certificates{byName: map[string][]*tls.Certificate{}}
	for i := range all {
		parsed, err := newCertificate(&all[i])
		if err != nil && len(all) > 1 {
			err = fmt.Errorf("certificate %d: %w", i+1, err)
		}
		if err != nil {
			return nil, err
		}
		if i == 0 {
			c.standard = parsed
		}
		for _, name := range names(parsed.Leaf) {
			c.byName[name] = append(c.byName[name], parsed)
		}
	}
	return c, nil
}

// names are those in the subject's alternatives and, as in HAProxy, the common name.
func names(leaf *x509.Certificate) []string {
	var all []string
	for _, name := range append(slices.Clone(leaf.DNSNames), leaf.Subject.CommonName) {
		if name = strings.ToLower(name); name != "" && !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// choose takes the certificate for the name that the client asks for: the name itself, then a wildcard in the place of its first label,
// then the standard. Of several for one name, say with keys of different types, it is the first that the client can use.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(c.byName) == 0 || hello.ServerName == "" {
		return c.standard, nil
	}
	name := strings.ToLower(hello.ServerName)
	candidates := c.byName[name]
	if dot := strings.IndexByte(name, '.'); len(candidates) == 0 && dot > 0 {
		candidates = c.byName["*"+name[dot:]]
	}
	switch len(candidates) {
	case 0:
		return c.standard, nil
	case 1:
		return candidates[0], nil
	}
	for _, candidate := range candidates {
		if hello.SupportsCertificate(candidate) == nil {
			return candidate, nil
		}
	}
	return candidates[0], nil
}

func newCertificate(c *dataplane.Certificate) (*tls.Certificate, error) {
	return sharedCertificates.get(digestOf(append(slices.Clone(c.Chain), c.Key)...), func() (*tls.Certificate, error) {
		return parseCertificate(c)
	})
}

func parseCertificate(c *dataplane.Certificate) (*tls.Certificate, error) {
	if len(c.Chain) == 0 {
		return nil, errors.New("the certificate is missing")
	}
	leaf, err := x509.ParseCertificate(c.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("the certificate cannot be read: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, fmt.Errorf("the private key cannot be read: %w", err)
	}
	if !belongs(key, leaf) {
		return nil, errors.New("the private key does not belong to the certificate")
	}
	return &tls.Certificate{Certificate: c.Chain, PrivateKey: key, Leaf: leaf}, nil
}

// belongs is false for keys that TLS has no use for, too.
func belongs(key any, leaf *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	switch public := signer.Public().(type) {
	case *rsa.PublicKey:
		return public.Equal(leaf.PublicKey)
	case *ecdsa.PublicKey:
		return public.Equal(leaf.PublicKey)
	case ed25519.PublicKey:
		return public.Equal(leaf.PublicKey)
	}
	return false
}

func newAuthorities(ders [][]byte) (*x509.CertPool, error) {
	return sharedAuthorities.get(digestOf(ders...), func() (*x509.CertPool, error) {
		pool := x509.NewCertPool()
		for _, der := range ders {
			authority, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, fmt.Errorf("the certificate cannot be read: %w", err)
			}
			pool.AddCert(authority)
		}
		return pool, nil
	})
}
