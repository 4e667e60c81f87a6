// Package testpki makes certificate authorities for tests: certificates with their keys, and lists of revoked ones.
package testpki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// serials are unique in a process, so that no two certificates of one authority are taken for each other.
var serials atomic.Int64

// Pair is a certificate with its private key.
type Pair struct {
	*x509.Certificate
	Key   crypto.Signer
	Chain [][]byte // DER: the certificate first, then those of the authorities below the root
}

// Authority signs certificates. Its own one is either self-signed or signed by another authority.
type Authority struct{ Pair }

// NewAuthority makes a root.
func NewAuthority(t testing.TB, name string) *Authority {
	return &Authority{issue(t, nil, newKey(t), authority(name))}
}

// NewAuthority makes an authority below this one.
func (a *Authority) NewAuthority(t testing.TB, name string) *Authority {
	return &Authority{a.Issue(t, name, func(c *x509.Certificate) { *c = *authority(name) })}
}

func authority(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// Issue makes a certificate for servers and clients, good for an hour, with a key of ECDSA P-256. change may change it before
// it is signed.
func (a *Authority) Issue(t testing.TB, commonName string, change ...func(*x509.Certificate)) Pair {
	return a.IssueFor(t, newKey(t), commonName, change...)
}

// IssueFor is Issue with a key that is there already.
func (a *Authority) IssueFor(t testing.TB, key crypto.Signer, commonName string, change ...func(*x509.Certificate)) Pair {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: commonName},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, f := range change {
		f(template)
	}
	return issue(t, a, key, template)
}

// DNS gives the certificate these names.
func DNS(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// Expired makes the certificate end a minute ago.
func Expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(-time.Minute)
}

// NewRSAKey makes a key of 2048 bits.
func NewRSAKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs with parent, or with the certificate's own key.
func issue(t testing.TB, parent *Authority, key crypto.Signer, template *x509.Certificate) Pair {
	t.Helper()
	template.SerialNumber = big.NewInt(serials.Add(1))
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	signer, issuer := key, template
	if parent != nil {
		signer, issuer = parent.Key, parent.Certificate
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pair := Pair{Certificate: parsed, Key: key, Chain: [][]byte{der}}
	if parent != nil && parent.Issuer.String() != parent.Subject.String() {
		pair.Chain = append(pair.Chain, parent.Chain...)
	}
	return pair
}

// Revoke makes the authority's list, in DER, of these certificates. It is valid until nextUpdate.
func (a *Authority) Revoke(t testing.TB, nextUpdate time.Time, revoked ...Pair) []byte {
	t.Helper()
	list := &x509.RevocationList{
		Number: big.NewInt(serials.Add(1)), ThisUpdate: time.Now().Add(-time.Hour), NextUpdate: nextUpdate,
	}
	for _, r := range revoked {
		entry := x509.RevocationListEntry{SerialNumber: r.SerialNumber, RevocationTime: time.Now().Add(-time.Minute)}
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, entry)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.Certificate, a.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// KeyDER is the private key as PKCS#8.
func (p Pair) KeyDER(t testing.TB) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// TLS is the pair as crypto/tls wants it.
func (p Pair) TLS() tls.Certificate {
	return tls.Certificate{Certificate: p.Chain, PrivateKey: p.Key, Leaf: p.Certificate}
}

// Pool holds the authority's certificate alone.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	return pool
}

// WriteFiles writes the chain and the key as PEM into a directory of the test.
func (p Pair) WriteFiles(t testing.TB) (chainFile, keyFile string) {
	t.Helper()
	var chain []byte
	for _, der := range p.Chain {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: p.KeyDER(t)})
	dir := t.TempDir()
	chainFile, keyFile = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	for name, content := range map[string][]byte{chainFile: chain, keyFile: key} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return chainFile, keyFile
}
