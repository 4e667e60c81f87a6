package certificate

import "encoding/asn1"

// maxIterations bounds how often a bundle's key derivation may hash; OpenSSL writes 2,048, others up to 600,000. Without a
// bound a bundle of some bytes would keep a processor busy for hours.
const maxIterations = 2_000_000

// maxNesting bounds how deep a bundle's structures are looked into.
const maxNesting = 20

// tooSlow tells whether a PKCS#12 bundle asks for more iterations than that: whether an integer that follows an octet
// string, the salt, is larger (RFC 7292 §4, RFC 8018 §A.2). Octet strings that hold further structures are looked into.
// What is encrypted cannot be.
func tooSlow(der []byte, depth int) bool {
	afterSalt := false
	for len(der) > 0 && depth < maxNesting {
		var v asn1.RawValue
		rest, err := asn1.Unmarshal(der, &v)
		if err != nil {
			return false // not a structure after all
		}
		if afterSalt && v.Tag == asn1.TagInteger && v.Class == asn1.ClassUniversal {
			var n int
			if _, err := asn1.Unmarshal(v.FullBytes, &n); err != nil || n > maxIterations {
				return true
			}
		}
		afterSalt = v.Tag == asn1.TagOctetString && v.Class == asn1.ClassUniversal
		if (v.IsCompound || afterSalt) && tooSlow(v.Bytes, depth+1) {
			return true
		}
		der = rest
	}
	return false
}
