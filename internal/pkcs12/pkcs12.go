// Package pkcs12 opens bundles without passphrase, in the time that its caller grants.
//
// A bundle says itself how often its keys are derived: how long it takes to open is the choice of whoever made it. So every
// count is added up before the first derivation. A count can also be hidden inside an encrypted part; a private key there is
// not looked at (see [order]).
package pkcs12

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"software.sslmate.com/src/go-pkcs12"
)

// TooSlow says that a bundle asks for more iterations than granted.
type TooSlow struct{ Granted int }

func (e TooSlow) Error() string {
	return fmt.Sprintf("It asks for more than %d iterations of its key derivations together. "+
		"Export it again with fewer: openssl pkcs12 -export -iter 2048.", e.Granted)
}

// Decode gives the private key and the certificates of a bundle, the leaf first. A bundle whose key derivations ask for more
// than so many iterations together is [TooSlow]: OpenSSL writes 3 times 2,048, others up to 600,000 each.
func Decode(der []byte, maxIterations int) (crypto.PrivateKey, []*x509.Certificate, error) {
	if Iterations(der) > maxIterations {
		return nil, nil, TooSlow{maxIterations}
	}
	forms, err := order(der)
	if err != nil {
		return nil, nil, err
	}
	for _, form := range forms {
		key, leaf, chain, failed := pkcs12.DecodeChain(form, "")
		if failed == nil {
			return key, append([]*x509.Certificate{leaf}, chain...), nil
		}
		err = cmp.Or(err, failed)
	}
	if errors.Is(err, pkcs12.ErrDecryption) {
		err = pkcs12.ErrIncorrectPassword
	}
	return nil, nil, err
}

const (
	// maxNesting bounds how deep a bundle's structures are looked into.
	maxNesting = 20
	// tooMany is more than anybody grants; a sum stops there.
	tooMany = 1 << 40
)

// Iterations is how many iterations the key derivations of a bundle ask for together, as far as they can be seen without
// decrypting: the sum of the integers that follow an octet string, the salt (RFC 7292 §4, RFC 8018 §A.2). Octet strings
// that hold further structures are looked into.
func Iterations(der []byte) int { return min(iterations(der, 0), tooMany) }

func iterations(der []byte, depth int) (sum int) {
	afterSalt := false
	for len(der) > 0 && depth < maxNesting && sum < tooMany {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return sum // not a structure after all
		}
		if afterSalt && v.Tag == asn1.TagInteger && v.Class == asn1.ClassUniversal {
			var n int
			if _, err := asn1.Unmarshal(v.FullBytes, &n); err != nil || n > tooMany {
				return tooMany
			}
			sum += max(n, 0)
		}
		afterSalt = v.Tag == asn1.TagOctetString && v.Class == asn1.ClassUniversal
		if v.IsCompound || afterSalt {
			sum += iterations(v.Bytes, depth+1)
		}
		der = rest
	}
	return sum
}
