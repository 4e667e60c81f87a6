// Package pkcs12 opens bundles without passphrase, in the time that its caller grants.
package pkcs12

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// TooSlow says that a bundle asks for more iterations than granted.
type TooSlow struct{ Granted int }

func (e TooSlow) Error() string {
	return fmt.Sprintf("It asks for more than %d iterations.", e.Granted)
}

// Decode gives the private key and the certificates of a bundle, the leaf first. A bundle that asks for more than so many
// iterations of its key derivation is [TooSlow]: OpenSSL writes 2,048, others up to 600,000. Without a bound a bundle of some
// bytes would keep a processor busy for hours.
func Decode(der []byte, maxIterations int) (crypto.PrivateKey, []*x509.Certificate, error) {
	if isTooSlow(der, maxIterations, 0) {
		return nil, nil, TooSlow{maxIterations}
	}
	key, leaf, chain, err := pkcs12.DecodeChain(der, "")
	if err != nil {
		return nil, nil, err
	}
	return key, append([]*x509.Certificate{leaf}, chain...), nil
}

// maxNesting bounds how deep a bundle's structures are looked into.
const maxNesting = 20

// isTooSlow tells whether a bundle asks for more iterations than most: whether an integer that follows an octet
// string, the salt, is larger (RFC 7292 §4, RFC 8018 §A.2). Octet strings that hold further structures are looked into.
// What is encrypted cannot be.
func isTooSlow(der []byte, most, depth int) bool {
	afterSalt := false
	for len(der) > 0 && depth < maxNesting {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return false // not a structure after all
		}
		if afterSalt && v.Tag == asn1.TagInteger && v.Class == asn1.ClassUniversal {
			var n int
			if _, err := asn1.Unmarshal(v.FullBytes, &n); err != nil || n > most {
				return true
			}
		}
		afterSalt = v.Tag == asn1.TagOctetString && v.Class == asn1.ClassUniversal
		if (v.IsCompound || afterSalt) && isTooSlow(v.Bytes, most, depth+1) {
			return true
		}
		der = rest
	}
	return false
}
