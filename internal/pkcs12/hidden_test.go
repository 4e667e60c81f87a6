package pkcs12_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"poise/internal/testpki"
)

func oid(numbers ...int) asn1.ObjectIdentifier { return numbers }

// explicit wraps bytes in [0].
func explicit(inside []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: inside}
}

type algorithm struct {
	ID         asn1.ObjectIdentifier
	Parameters any
}

// pbes2 is a way to encrypt with the empty passphrase.
func pbes2(iterations int) algorithm {
	return algorithm{oid(1, 2, 840, 113549, 1, 5, 13), struct{ KDF, Cipher algorithm }{
		algorithm{oid(1, 2, 840, 113549, 1, 5, 12), struct {
			Salt       []byte
			Iterations int
			PRF        pkix.AlgorithmIdentifier
		}{make([]byte, 8), iterations, pkix.AlgorithmIdentifier{Algorithm: oid(1, 2, 840, 113549, 2, 9), Parameters: asn1.NullRawValue}}},
		algorithm{oid(2, 16, 840, 1, 101, 3, 4, 1, 42), make([]byte, aes.BlockSize)},
	}}
}

// hiddenKey makes a bundle with a private key among its encrypted certificates, that asks for 2^31-1 iterations. Unless it is
// the only one, another private key is beside them, as it should be.
func hiddenKey(t *testing.T, pair testpki.Pair, only bool) []byte {
	t.Helper()
	der := func(v any) []byte {
		t.Helper()
		raw, err := asn1.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	type bag struct {
		ID    asn1.ObjectIdentifier
		Value asn1.RawValue
	}
	type contentInfo bag
	data := oid(1, 2, 840, 113549, 1, 7, 1)

	slow := der(struct {
		Algorithm algorithm
		Data      []byte
	}{pbes2(1<<31 - 1), make([]byte, 64)})
	certificate := der(struct {
		ID   asn1.ObjectIdentifier
		Data asn1.RawValue
	}{oid(1, 2, 840, 113549, 1, 9, 22, 1), explicit(der(pair.Raw))})
	inside := der([]bag{
		{oid(1, 2, 840, 113549, 1, 12, 10, 1, 2), explicit(slow)}, {oid(1, 2, 840, 113549, 1, 12, 10, 1, 3), explicit(certificate)},
	})
	key, err := pbkdf2.Key(sha256.New, "", make([]byte, 8), 1, 32)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	padding := aes.BlockSize - len(inside)%aes.BlockSize
	inside = append(inside, bytes.Repeat([]byte{byte(padding)}, padding)...)
	cipher.NewCBCEncrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(inside, inside)
	encrypted := der(struct {
		Version int
		Info    struct {
			ID        asn1.ObjectIdentifier
			Algorithm algorithm
			Data      asn1.RawValue
		}
	}{0, struct {
		ID        asn1.ObjectIdentifier
		Algorithm algorithm
		Data      asn1.RawValue
	}{data, pbes2(1), asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, Bytes: inside}}})

	parts := []contentInfo{{oid(1, 2, 840, 113549, 1, 7, 6), explicit(encrypted)}}
	if !only {
		plain, err := x509.MarshalPKCS8PrivateKey(pair.Key)
		if err != nil {
			t.Fatal(err)
		}
		bags := der([]bag{{oid(1, 2, 840, 113549, 1, 12, 10, 1, 1), explicit(plain)}})
		parts = append(parts, contentInfo{data, explicit(der(bags))})
	}
	return der(struct {
		Version  int
		AuthSafe contentInfo
	}{3, contentInfo{data, explicit(der(der(parts)))}})
}
