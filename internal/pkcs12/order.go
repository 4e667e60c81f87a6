package pkcs12

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
)

// The structures of RFC 7292 §4, as far as they are looked at.
type (
	pfx struct {
		Version  int
		AuthSafe contentInfo
		MAC      macData `asn1:"optional"`
	}
	contentInfo struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"tag:0,explicit,optional"`
	}
	macData struct {
		Digest struct {
			Algorithm pkix.AlgorithmIdentifier
			Digest    []byte
		}
		Salt       []byte
		Iterations int `asn1:"optional,default:1"`
	}
	safeBag struct {
		ID         asn1.ObjectIdentifier
		Value      asn1.RawValue `asn1:"tag:0,explicit"`
		Attributes asn1.RawValue `asn1:"set,optional"`
	}
)

var (
	oidData           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidKeyBag         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 1}
	oidShroudedKeyBag = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 10, 1, 2}
	oidSHA1           = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// errHiddenKey says that a bundle has its private key where its cost cannot be seen.
var errHiddenKey = errors.New("the private key is among what is encrypted with the certificates; " +
	"export the bundle again with: openssl pkcs12 -export")

var errDamaged = errors.New("it is not a PKCS#12 bundle")

// order puts the parts of a bundle that are not encrypted as a whole before the others. The decoder then meets the private
// key whose cost was seen first, and refuses a further one, hidden in an encrypted part, before it derives anything for it.
//
// The MAC, which is over the parts in their order, is dropped: without a passphrase it protects nothing. What it told is
// whether the empty passphrase is two bytes of zero or none at all. So there is one form for each: the decoder takes a bundle
// without a MAC for the first, and the second has a MAC of its own that takes one iteration.
func order(der []byte) (forms [][]byte, err error) {
	var bundle pfx
	var inside []byte
	var parts []asn1.RawValue
	for _, step := range []struct {
		from func() []byte
		into any
	}{
		{func() []byte { return der }, &bundle},
		{func() []byte { return bundle.AuthSafe.Content.Bytes }, &inside},
		{func() []byte { return inside }, &parts},
	} {
		if rest, err := asn1.Unmarshal(step.from(), step.into); err != nil || len(rest) > 0 {
			return nil, errDamaged
		}
	}
	var plain, encrypted []asn1.RawValue
	hasKey := false
	for _, part := range parts {
		isPlain, key := look(part)
		if hasKey = hasKey || key; isPlain {
			plain = append(plain, part)
		} else {
			encrypted = append(encrypted, part)
		}
	}
	switch {
	case len(encrypted) == 0:
		return [][]byte{der}, nil
	case !hasKey:
		return nil, errHiddenKey
	}
	content, err := asn1.Marshal(slices.Concat(plain, encrypted))
	if err != nil {
		return nil, errDamaged
	}
	octets, err := asn1.Marshal(content)
	if err != nil {
		return nil, errDamaged
	}
	fresh := pfx{Version: bundle.Version, AuthSafe: contentInfo{
		Type: bundle.AuthSafe.Type, Content: asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: octets},
	}}
	for _, mac := range []macData{{}, macWithoutPassphrase(content)} {
		fresh.MAC = mac
		form, err := asn1.Marshal(fresh)
		if err != nil {
			return nil, errDamaged
		}
		forms = append(forms, form)
	}
	return forms, nil
}

// look tells whether a part is not encrypted as a whole, and whether there is a private key in it.
func look(part asn1.RawValue) (isPlain, hasKey bool) {
	var info contentInfo
	if _, err := asn1.Unmarshal(part.FullBytes, &info); err != nil || !info.Type.Equal(oidData) {
		return false, false
	}
	var content []byte
	var bags []safeBag
	if _, err := asn1.Unmarshal(info.Content.Bytes, &content); err != nil {
		return true, false
	}
	if _, err := asn1.Unmarshal(content, &bags); err != nil {
		return true, false
	}
	return true, slices.ContainsFunc(bags, func(b safeBag) bool { return b.ID.Equal(oidKeyBag) || b.ID.Equal(oidShroudedKeyBag) })
}

// macWithoutPassphrase is the MAC of RFC 7292 §B for a passphrase of no bytes, with SHA-1, one iteration and a salt of zeros:
// of the key derivation one hash is left, over the purpose (64 bytes of 3) and the salt, filled up to 64 bytes.
func macWithoutPassphrase(content []byte) macData {
	var block [128]byte
	for i := range 64 {
		block[i] = 3
	}
	key := sha1.Sum(block[:])
	sum := hmac.New(sha1.New, key[:])
	sum.Write(content)
	mac := macData{Salt: make([]byte, 8), Iterations: 1}
	mac.Digest.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidSHA1, Parameters: asn1.NullRawValue}
	mac.Digest.Digest = sum.Sum(nil)
	return mac
}
