// Package certificate reads what listeners and pools refer to in the key manager: certificates with their private keys,
// authorities, and lists of revoked certificates. It says what is wrong with them in words that are fit for the user's
// eyes.
package certificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"

	"poise/internal/lb"
	"poise/internal/pkcs12"
)

// Parts are a certificate as the key manager has it: either PKCS12, a bundle without passphrase, or the others, which
// may be PEM or DER.
type Parts struct {
	Certificate   []byte
	PrivateKey    []byte
	Intermediates []byte
	Passphrase    []byte // of the private key

	PKCS12 []byte
}

// maxIterations bounds how often the derivations of one bundle or key may hash together; OpenSSL writes 2,048 for each of three,
// others up to 600,000.
const maxIterations = 2_000_000

// Parse returns the certificate with its private key, the leaf first and parsed, and refuses one that has expired. Errors
// are [*lb.Error]s.
func Parse(p Parts, now time.Time) (tls.Certificate, error) {
	whole, err := read(p)
	return unexpired(whole, err, now)
}

// unexpired refuses a certificate that has expired.
func unexpired(whole tls.Certificate, err error, now time.Time) (tls.Certificate, error) {
	if err == nil && now.After(whole.Leaf.NotAfter) {
		return tls.Certificate{}, invalid("The certificate has expired on " + whole.Leaf.NotAfter.UTC().Format(time.RFC3339) + ".")
	}
	return whole, err
}

func read(p Parts) (tls.Certificate, error) {
	form := readContainer
	if p.PKCS12 != nil {
		form = readBundle
	}
	key, chain, err := form(p)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf := chain[0]
	switch {
	case leaf.Subject.CommonName == "" && len(leaf.DNSNames) == 0:
		return tls.Certificate{}, invalid("No CN or DNSName(s) found in certificate. The certificate is invalid.")
	case !belong(key, leaf):
		return tls.Certificate{}, invalid("The private key does not belong to the certificate.")
	}
	whole := tls.Certificate{PrivateKey: key, Leaf: leaf}
	for _, c := range chain {
		whole.Certificate = append(whole.Certificate, c.Raw)
	}
	return whole, nil
}

func readBundle(p Parts) (crypto.PrivateKey, []*x509.Certificate, error) {
	key, chain, err := pkcs12.Decode(p.PKCS12, maxIterations)
	if slow := (pkcs12.TooSlow{}); errors.As(err, &slow) {
		return nil, nil, invalid("The PKCS12 bundle is unreadable. " + slow.Error())
	}
	if err != nil {
		return nil, nil, invalid("The PKCS12 bundle is unreadable. Please check the PKCS12 bundle validity. In addition, " +
			"make sure it does not require a pass phrase. Error: " + err.Error())
	}
	return key, chain, nil
}

func readContainer(p Parts) (crypto.PrivateKey, []*x509.Certificate, error) {
	chain, err := readCertificates(p.Certificate)
	if err != nil {
		return nil, nil, invalid("The certificate is unreadable. Error: " + err.Error())
	}
	if p.Intermediates != nil {
		above, err := readCertificates(p.Intermediates)
		if err != nil {
			return nil, nil, invalid("The intermediate certificates are unreadable. Error: " + err.Error())
		}
		chain = append(chain, above...)
	}
	if p.PrivateKey == nil {
		return nil, nil, invalid("The certificate container has no private key.")
	}
	key, err := readKey(p.PrivateKey, p.Passphrase)
	if err != nil {
		return nil, nil, invalid("The private key is unreadable. Error: " + err.Error())
	}
	return key, chain, nil
}

// readCertificates reads one or more certificates, in PEM or DER.
func readCertificates(data []byte) ([]*x509.Certificate, error) {
	if block, _ := pem.Decode(data); block == nil {
		return x509OrError(x509.ParseCertificates(data))
	}
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return x509OrError(all, nil)
}

func x509OrError(all []*x509.Certificate, err error) ([]*x509.Certificate, error) {
	if err == nil && len(all) == 0 {
		err = errors.New("there is no certificate in it")
	}
	return all, err
}

// readKey reads a private key in PEM or DER: PKCS#8, PKCS#1 or SEC 1. One that is not encrypted is read with any
// passphrase.
func readKey(data, passphrase []byte) (crypto.PrivateKey, error) {
	block := keyBlock(data)
	if !isEncrypted(block) {
		return parseKey(block.Bytes)
	}
	der, err := decryptBlock(block, passphrase)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(der)
	if err != nil {
		err = errWrongPassphrase // what came out only looks decrypted
	}
	return key, err
}

// keyBlock finds the key in PEM; what is not PEM is taken for its DER.
func keyBlock(data []byte) *pem.Block {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "EC PARAMETERS" {
			return block
		}
	}
	return &pem.Block{Bytes: data}
}

func parseKey(der []byte) (crypto.PrivateKey, error) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key, nil
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key, nil
	}
	return nil, errors.New("it is neither PKCS#8 nor PKCS#1 nor SEC 1")
}

// belong tells whether a private key is that of a certificate.
func belong(key crypto.PrivateKey, leaf *x509.Certificate) bool {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return false
	}
	switch public := leaf.PublicKey.(type) {
	case *rsa.PublicKey:
		return public.Equal(signer.Public())
	case *ecdsa.PublicKey:
		return public.Equal(signer.Public())
	case ed25519.PublicKey:
		return public.Equal(signer.Public())
	default:
		return false
	}
}

// ParseAuthorities reads the certificates, in PEM, that peers' certificates must come from.
func ParseAuthorities(data []byte) ([]*x509.Certificate, error) {
	err := errors.New("it is not PEM")
	var all []*x509.Certificate
	if block, _ := pem.Decode(data); block != nil {
		all, err = readCertificates(data)
	}
	if err != nil {
		return nil, lb.ErrValidation("", "The client authentication CA certificate is invalid. "+
			"It must be a valid x509 PEM format certificate. Error: %s", err)
	}
	return all, nil
}

// ParseRevocations reads a list of revoked certificates in PEM, which one of the authorities must have signed.
func ParseRevocations(data []byte, authorities []*x509.Certificate) (*x509.RevocationList, error) {
	var list *x509.RevocationList
	err := errors.New("it is not PEM")
	if block, _ := pem.Decode(data); block != nil {
		list, err = x509.ParseRevocationList(block.Bytes)
	}
	if err != nil {
		return nil, lb.ErrValidation("", "The client authentication certificate revocation list is invalid. "+
			"It must be a valid x509 PEM format certificate revocation list. Error: %s", err)
	}
	for _, a := range authorities {
		if a.CheckSignature(list.SignatureAlgorithm, list.RawTBSRevocationList, list.Signature) == nil {
			return list, nil
		}
	}
	return nil, lb.ErrValidation("", "The CRL specified is not valid for client certificate authority reference supplied.")
}

func invalid(message string) error { return &lb.Error{Code: lb.Invalid, Message: message} }
