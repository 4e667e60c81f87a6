package certificate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"poise/internal/lb"
	"poise/internal/rest"
)

// authority signs the certificates of a test.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a certificate; without an authority it signs itself.
func (a *authority) sign(t testing.TB, key *ecdsa.PrivateKey, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "www.example"}, DNSNames: []string{"www.example"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	change(template)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := newKey(t)
	var none *authority
	return &authority{key, none.sign(t, key, func(c *x509.Certificate) {
		c.IsCA, c.Subject.CommonName, c.KeyUsage = true, "CA", x509.KeyUsageCRLSign|x509.KeyUsageCertSign
	})}
}

func (a *authority) revoke(t testing.TB) []byte {
	t.Helper()
	der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
		Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
	}, a.cert, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func pemOf(certificates ...*x509.Certificate) []byte {
	var all []byte
	for _, c := range certificates {
		all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return all
}

func keyPEM(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func bundle(t testing.TB, key crypto.PrivateKey, leaf *x509.Certificate, chain []*x509.Certificate, passphrase string) []byte {
	t.Helper()
	return encode(t, pkcs12.Modern, key, leaf, chain, passphrase)
}

func encode(t testing.TB, as *pkcs12.Encoder, key crypto.PrivateKey, leaf *x509.Certificate, chain []*x509.Certificate, passphrase string) []byte {
	t.Helper()
	data, err := as.Encode(key, leaf, chain, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParse(t *testing.T) {
	a, key := newAuthority(t), newKey(t)
	leaf := a.sign(t, key, func(*x509.Certificate) {})
	nameless := a.sign(t, key, func(c *x509.Certificate) { c.Subject, c.DNSNames = pkix.Name{}, nil })
	expired := a.sign(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	sec1, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		parts   Parts
		chain   int
		message string
	}{
		"bundle":               {Parts{PKCS12: bundle(t, key, leaf, []*x509.Certificate{a.cert}, "")}, 2, ""},
		"bundle with a secret": {Parts{PKCS12: bundle(t, key, leaf, nil, "secret")}, 0, "The PKCS12 bundle is unreadable."},
		"bundle, old style":    {Parts{PKCS12: encode(t, pkcs12.LegacyDES, key, leaf, nil, "")}, 1, ""},
		"bundle that is slow":  {Parts{PKCS12: encode(t, pkcs12.Modern.WithIterations(maxIterations+1), key, leaf, nil, "")}, 0, "iterations"},
		"bundle of nothing":    {Parts{PKCS12: []byte("x")}, 0, "The PKCS12 bundle is unreadable."},
		"PEM":                  {Parts{Certificate: pemOf(leaf), PrivateKey: keyPEM(t, key), Intermediates: pemOf(a.cert)}, 2, ""},
		"DER":                  {Parts{Certificate: leaf.Raw, PrivateKey: sec1, Intermediates: a.cert.Raw}, 2, ""},
		"chain in one":         {Parts{Certificate: pemOf(leaf, a.cert), PrivateKey: keyPEM(t, key)}, 2, ""},
		"no key":               {Parts{Certificate: pemOf(leaf)}, 0, "The certificate container has no private key."},
		"another key":          {Parts{Certificate: pemOf(leaf), PrivateKey: keyPEM(t, newKey(t))}, 0, "The private key does not belong to the certificate."},
		"a key that is none":   {Parts{Certificate: pemOf(leaf), PrivateKey: []byte("x")}, 0, "The private key is unreadable."},
		"no certificate":       {Parts{Certificate: keyPEM(t, key), PrivateKey: keyPEM(t, key)}, 0, "The certificate is unreadable."},
		"no intermediates":     {Parts{Certificate: pemOf(leaf), PrivateKey: keyPEM(t, key), Intermediates: []byte("x")}, 0, "The intermediate certificates are unreadable."},
		"nameless":             {Parts{Certificate: pemOf(nameless), PrivateKey: keyPEM(t, key)}, 0, "No CN or DNSName(s) found in certificate. The certificate is invalid."},
		"expired":              {Parts{Certificate: pemOf(expired), PrivateKey: keyPEM(t, key)}, 0, "The certificate has expired on"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(test.parts, time.Now())
			switch {
			case test.message == "" && (err != nil || len(got.Certificate) != test.chain):
				t.Errorf("%d certificates, %v", len(got.Certificate), err)
			case test.message != "" && (lb.CodeOf(err) != lb.Invalid || !strings.Contains(err.Error(), test.message)):
				t.Errorf("%v, want %s", err, test.message)
			}
		})
	}
}

// safe is a key manager of a test: secrets by their references.
type safe map[string]Parts

func (s safe) Certificate(_ context.Context, _ rest.Caller, ref string) (Parts, error) {
	parts, ok := s[ref]
	switch {
	case ref == "broken":
		return Parts{}, errors.New("the database is gone")
	case !ok:
		return Parts{}, ErrRefused
	}
	return parts, nil
}

func (s safe) Payload(ctx context.Context, caller rest.Caller, ref string) ([]byte, string, error) {
	parts, err := s.Certificate(ctx, caller, ref)
	return parts.Certificate, "text/plain", err
}

func TestCheck(t *testing.T) {
	a, other, key := newAuthority(t), newAuthority(t), newKey(t)
	s := safe{
		"good": {PKCS12: bundle(t, key, a.sign(t, key, func(*x509.Certificate) {}), nil, "")},
		"bad":  {PKCS12: []byte("x")}, "ca": {Certificate: pemOf(a.cert)}, "both": {Certificate: pemOf(other.cert, a.cert)},
		"crl": {Certificate: a.revoke(t)}, "other crl": {Certificate: other.revoke(t)},
	}
	for name, test := range map[string]struct {
		refs    lb.References
		message string
	}{
		"nothing":           {lb.References{}, ""},
		"everything":        {lb.References{Certificates: []string{"good", "good"}, CA: "ca", CRL: "crl"}, ""},
		"two authorities":   {lb.References{CA: "both", CRL: "crl"}, ""},
		"two are missing":   {lb.References{Certificates: []string{"x", "bad", "y"}}, "Could not retrieve certificate: ['x', 'y']"},
		"unreadable":        {lb.References{Certificates: []string{"good", "bad"}}, "The PKCS12 bundle is unreadable."},
		"missing CA":        {lb.References{CA: "x"}, "Could not retrieve certificate: ['x']"},
		"CA that is none":   {lb.References{CA: "crl"}, "Validation failure: The client authentication CA certificate is invalid."},
		"missing CRL":       {lb.References{CA: "ca", CRL: "x"}, "Could not retrieve certificate: ['x']"},
		"CRL that is none":  {lb.References{CA: "ca", CRL: "ca"}, "Validation failure: The client authentication certificate revocation list is invalid."},
		"CRL of another CA": {lb.References{CA: "ca", CRL: "other crl"}, "Validation failure: The CRL specified is not valid for client certificate authority reference supplied."},
	} {
		t.Run(name, func(t *testing.T) {
			err := Checker{Keys: s, Opener: NewOpener()}.Check(t.Context(), rest.Caller{ProjectID: "p"}, "p", test.refs)
			if test.message == "" && err != nil || test.message != "" && (lb.CodeOf(err) != lb.Invalid || !strings.Contains(err.Error(), test.message)) {
				t.Errorf("%v, want %s", err, test.message)
			}
		})
	}
	if err := (Checker{Keys: s, Opener: NewOpener()}).Check(t.Context(), rest.Caller{ProjectID: "p"}, "p", lb.References{Certificates: []string{"broken"}}); err == nil || lb.CodeOf(err) != 0 {
		t.Errorf("a broken key manager: %v", err)
	}
}

// shared gives some references to one project, and single ones to users of others.
type shared struct {
	safe
	owner  string
	reader string // "ref user"
}

func (s shared) Certificate(ctx context.Context, caller rest.Caller, ref string) (Parts, error) {
	if caller.ProjectID != s.owner && ref+" "+caller.UserID != s.reader {
		return Parts{}, ErrRefused
	}
	return s.safe.Certificate(ctx, caller, ref)
}

func (s shared) Payload(ctx context.Context, caller rest.Caller, ref string) ([]byte, string, error) {
	parts, err := s.Certificate(ctx, caller, ref)
	return parts.Certificate, "text/plain", err
}

type projects map[string][]string

func (p projects) UsersOf(_ context.Context, projectID string) ([]string, error) {
	return p[projectID], nil
}

// TestCheckForAnotherProject is what an administrator meets who refers to secrets for somebody else's load balancer.
func TestCheckForAnotherProject(t *testing.T) {
	a, key := newAuthority(t), newKey(t)
	good := Parts{PKCS12: bundle(t, key, a.sign(t, key, func(*x509.Certificate) {}), nil, "")}
	c := Checker{
		Opener:   NewOpener(),
		Keys:     shared{safe{"own": good, "shared": good, "ca": {Certificate: pemOf(a.cert)}}, "admins", "shared user"},
		Projects: projects{"web": {"somebody", "user"}},
	}
	admin := rest.Caller{UserID: "root", ProjectID: "admins"}
	for ref, want := range map[string]string{"shared": "", "own": "Could not retrieve certificate: ['own']"} {
		err := c.Check(t.Context(), admin, "web", lb.References{Certificates: []string{ref}})
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%s: %v, want %q", ref, err, want)
		}
		if err := c.Check(t.Context(), admin, "admins", lb.References{Certificates: []string{ref}, CA: "ca"}); err != nil {
			t.Errorf("%s for the own project: %v", ref, err)
		}
	}
	if err := c.Check(t.Context(), admin, "web", lb.References{CA: "ca"}); lb.CodeOf(err) != lb.Invalid {
		t.Errorf("an authority of another project: %v", err)
	}
}

// TestResolve gives what the data plane needs, also of a certificate that has expired.
func TestResolve(t *testing.T) {
	a, key := newAuthority(t), newKey(t)
	leaf := a.sign(t, key, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
	r := Resolver{
		Opener: NewOpener(),
		Keys: safe{
			"old": {PKCS12: bundle(t, key, leaf, []*x509.Certificate{a.cert}, "")}, "ca": {Certificate: pemOf(a.cert)}, "crl": {Certificate: a.revoke(t)},
		},
		Projects: projects{},
	}
	c, expires, err := r.Certificate(t.Context(), "web", "old")
	if err != nil || !expires.Equal(leaf.NotAfter) || len(c.Chain) != 2 || !bytes.Equal(c.Chain[0], leaf.Raw) {
		t.Errorf("expires %v, %d in the chain, %v", expires, len(c.Chain), err)
	}
	if parsed, err := x509.ParsePKCS8PrivateKey(c.Key); err != nil || !key.Equal(parsed) {
		t.Errorf("key: %v", err)
	}
	authorities, err := r.Authorities(t.Context(), "web", "ca")
	if err != nil || len(authorities) != 1 || !bytes.Equal(authorities[0], a.cert.Raw) {
		t.Errorf("authorities: %v", err)
	}
	if list, err := r.Revocations(t.Context(), "web", "crl", authorities); err != nil || len(list) != 1 {
		t.Errorf("revocations: %v", err)
	}
	if _, err := r.Revocations(t.Context(), "web", "crl", nil); lb.CodeOf(err) != lb.Invalid {
		t.Errorf("revocations that nobody has signed: %v", err)
	}
	if _, _, err := r.Certificate(t.Context(), "web", "x"); lb.CodeOf(err) != lb.Invalid {
		t.Errorf("missing: %v", err)
	}
	if _, _, err := r.Certificate(t.Context(), "web", "broken"); err == nil || lb.CodeOf(err) != 0 {
		t.Errorf("a broken key manager: %v", err)
	}
}

// FuzzParse reads anything. Whatever it is, the answer is a certificate or the domain's refusal.
func FuzzParse(f *testing.F) {
	key := newKey(f)
	var none *authority
	leaf := none.sign(f, key, func(*x509.Certificate) {})
	f.Add(pemOf(leaf), keyPEM(f, key))
	for _, name := range []string{"pbkdf2-aes256-sha256", "scrypt-aes256", "pem-aes256", "pbes1"} {
		f.Add(pemOf(leaf), keyFile(f, name))
	}
	f.Add(leaf.Raw, []byte("-----BEGIN EC PARAMETERS-----\n-----END EC PARAMETERS-----"))
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		if _, err := Parse(Parts{Certificate: certificate, PrivateKey: key, Passphrase: []byte("secret")}, time.Now()); err != nil && lb.CodeOf(err) != lb.Invalid {
			t.Error(err)
		}
		if authorities, err := ParseAuthorities(certificate); err == nil {
			_, _ = ParseRevocations(key, authorities)
		}
	})
}
