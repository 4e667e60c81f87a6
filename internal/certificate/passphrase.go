package certificate

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// Private keys with a passphrase come in two forms: PKCS#8 with PBES2 (RFC 5958 §3, RFC 8018 §6.2), which everything writes
// today, and the older encryption of a PEM block. The standard library reads the second one only.

// maxScryptCost bounds N·r·p of scrypt; OpenSSL writes 131,072. At 128 bytes each it is also a bound of 128 MiB.
const maxScryptCost = 1 << 20

var (
	errNoPassphrase    = errors.New("it is encrypted, and its container has no private_key_passphrase")
	errWrongPassphrase = errors.New("the passphrase does not fit")
	errUnknownCipher   = errors.New("it is encrypted in a way that is not supported; PBES2 with AES is")
)

// isEncrypted tells whether a key needs a passphrase.
func isEncrypted(block *pem.Block) bool {
	var key encryptedKey // which a key that is not encrypted does not parse as: it begins with a number
	return block.Headers["DEK-Info"] != "" || block.Type == "ENCRYPTED PRIVATE KEY" || parse(block.Bytes, &key) == nil
}

// decryptBlock decrypts a key.
func decryptBlock(block *pem.Block, passphrase []byte) ([]byte, error) {
	switch {
	case len(passphrase) == 0:
		return nil, errNoPassphrase
	case block.Headers["DEK-Info"] == "":
		return decrypt(block.Bytes, passphrase)
	}
	//lint:ignore SA1019 the form is weak against whoever has the file; the key manager has encrypted it once more
	der, err := x509.DecryptPEMBlock(block, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, errWrongPassphrase
	}
	return der, err
}

// encryptedKey is EncryptedPrivateKeyInfo.
type encryptedKey struct {
	Algorithm pkix.AlgorithmIdentifier
	Data      []byte
}

// scheme is PBES2-params.
type scheme struct{ Derivation, Cipher pkix.AlgorithmIdentifier }

// decrypt decrypts PKCS#8.
func decrypt(der, passphrase []byte) ([]byte, error) {
	var key encryptedKey
	var how scheme
	if err := parse(der, &key); err != nil {
		return nil, err
	}
	if !key.Algorithm.Algorithm.Equal(oidPBES2) {
		return nil, errUnknownCipher
	}
	if err := parse(key.Algorithm.Parameters.FullBytes, &how); err != nil {
		return nil, err
	}
	with, known := ciphers[how.Cipher.Algorithm.String()]
	if !known {
		return nil, errUnknownCipher
	}
	derived, err := derive(how.Derivation, passphrase, with.keySize)
	if err != nil {
		return nil, err
	}
	block, err := with.block(derived)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if err := parse(how.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	return openCBC(block, iv, key.Data)
}

// openCBC decrypts and takes the padding off. What does not end in a padding was encrypted with another key.
func openCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	size := block.BlockSize()
	if len(iv) != size || len(data) == 0 || len(data)%size != 0 {
		return nil, errors.New("its encryption is damaged")
	}
	plain := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, data)
	padding := int(plain[len(plain)-1])
	if padding == 0 || padding > size {
		return nil, errWrongPassphrase
	}
	for _, b := range plain[len(plain)-padding:] {
		if int(b) != padding {
			return nil, errWrongPassphrase
		}
	}
	return plain[:len(plain)-padding], nil
}

// derive makes the key of a cipher out of a passphrase. What would take too long is refused: whoever writes a key says how
// long.
func derive(how pkix.AlgorithmIdentifier, passphrase []byte, size int) ([]byte, error) {
	switch {
	case how.Algorithm.Equal(oidPBKDF2):
		return derivePBKDF2(how.Parameters.FullBytes, passphrase, size)
	case how.Algorithm.Equal(oidScrypt):
		return deriveScrypt(how.Parameters.FullBytes, passphrase, size)
	default:
		return nil, errUnknownCipher
	}
}

// pbkdf2Params and scryptParams are those of RFC 8018 §A.2 and RFC 7914 §7.
type (
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		KeyLength  int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	scryptParams struct {
		Salt                   []byte
		Cost, BlockSize, Lanes int
		KeyLength              int `asn1:"optional"`
	}
)

// keyWork is how many iterations the passphrase of a private key asks for; a unit of scrypt counts as one, which takes about
// as long. Where nothing can be derived, or not so often, it is 0.
func keyWork(data []byte) int {
	block := keyBlock(data)
	var key encryptedKey
	var how scheme
	if parse(block.Bytes, &key) != nil || parse(key.Algorithm.Parameters.FullBytes, &how) != nil {
		return 0
	}
	var hashed pbkdf2Params
	var mixed scryptParams
	switch {
	case how.Derivation.Algorithm.Equal(oidPBKDF2) && parse(how.Derivation.Parameters.FullBytes, &hashed) == nil:
		if hashed.Iterations <= maxIterations {
			return max(hashed.Iterations, 0)
		}
	case how.Derivation.Algorithm.Equal(oidScrypt) && parse(how.Derivation.Parameters.FullBytes, &mixed) == nil:
		cost, err := mixed.units()
		if err == nil {
			return cost
		}
	}
	return 0
}

// units is N·r·p, unless it is more than is granted.
func (in scryptParams) units() (int, error) {
	cost := 1
	for _, factor := range []int{in.Cost, in.BlockSize, in.Lanes} {
		if factor < 1 || factor > maxScryptCost/cost {
			return 0, fmt.Errorf("its passphrase is hashed at a cost that is not between 1 and %d", maxScryptCost)
		}
		cost *= factor
	}
	return cost, nil
}

func derivePBKDF2(parameters, passphrase []byte, size int) ([]byte, error) {
	var in pbkdf2Params
	if err := parse(parameters, &in); err != nil {
		return nil, err
	}
	with := sha1.New // when nothing is said
	if in.PRF.Algorithm != nil {
		with = hashes[in.PRF.Algorithm.String()]
	}
	switch {
	case with == nil:
		return nil, errUnknownCipher
	case in.Iterations < 1 || in.Iterations > maxIterations:
		return nil, fmt.Errorf("its passphrase is hashed %d times, which is not between 1 and %d", in.Iterations, maxIterations)
	}
	return pbkdf2.Key(with, string(passphrase), in.Salt, in.Iterations, size)
}

func deriveScrypt(parameters, passphrase []byte, size int) ([]byte, error) {
	var in scryptParams
	if err := parse(parameters, &in); err != nil {
		return nil, err
	}
	if _, err := in.units(); err != nil {
		return nil, err
	}
	return scrypt.Key(passphrase, in.Salt, in.Cost, in.BlockSize, in.Lanes, size)
}

func parse(der []byte, into any) error {
	if rest, err := asn1.Unmarshal(der, into); err != nil || len(rest) > 0 {
		return errors.New("its encryption is damaged")
	}
	return nil
}

// Object identifiers of RFC 8018, RFC 7914 and NIST.
var (
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11}

	hashes = map[string]func() hash.Hash{
		"1.2.840.113549.2.7":  sha1.New,
		"1.2.840.113549.2.9":  sha256.New,
		"1.2.840.113549.2.10": sha512.New384,
		"1.2.840.113549.2.11": sha512.New,
	}

	ciphers = map[string]struct {
		keySize int
		block   func(key []byte) (cipher.Block, error)
	}{
		"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
		"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
		"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
		"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	}
)
