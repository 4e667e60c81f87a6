package barbican

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
)

// sealed is a payload at rest. A secret has a random key of its own, under which its payload is encrypted, and which is
// itself encrypted ("wrapped") under a key of the key file. So rotating the latter means to wrap some small keys again.
// Both are AES-256-GCM with the nonce in front (NIST SP 800-38D), and bound to the id and the project of the secret: in
// the row of another one they are good for nothing.
type sealed struct {
	KeyID      string `bun:",nullzero"`
	WrappedKey []byte
	Sealed     []byte
}

// seal encrypts the payload of a secret.
func (k *keyring) seal(id, projectID string, payload []byte) (sealed, error) {
	own := make([]byte, keyBytes)
	if _, err := rand.Read(own); err != nil {
		return sealed{}, fmt.Errorf("key of secret %s: %w", id, err)
	}
	wrapper, err := newAEAD(k.keys[k.current])
	if err != nil {
		return sealed{}, err
	}
	inner, err := newAEAD(own)
	if err != nil {
		return sealed{}, err
	}
	return sealed{
		KeyID:      k.current,
		WrappedKey: wrapper.Seal(nil, nil, own, binding("key", id, projectID)),
		Sealed:     inner.Seal(nil, nil, payload, binding("payload", id, projectID)),
	}, nil
}

// open decrypts the payload of a secret. It fails on everything that is not exactly what seal made for it.
func (k *keyring) open(id, projectID string, s sealed) ([]byte, error) {
	key, known := k.keys[s.KeyID]
	if !known {
		return nil, fmt.Errorf("secret %s: it is encrypted with key %q, which is not in the key file", id, s.KeyID)
	}
	wrapper, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	own, err := wrapper.Open(nil, nil, s.WrappedKey, binding("key", id, projectID))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", id, errDamaged)
	}
	inner, err := newAEAD(own)
	if err != nil {
		return nil, err
	}
	payload, err := inner.Open(nil, nil, s.Sealed, binding("payload", id, projectID))
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", id, errDamaged)
	}
	return payload, nil
}

var errDamaged = errors.New("what the database holds of its payload is damaged")

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// binding is the associated data. No part can hold a NUL, so no two secrets have the same.
func binding(what, id, projectID string) []byte {
	return []byte("poise barbican v1\x00" + what + "\x00" + id + "\x00" + projectID)
}
