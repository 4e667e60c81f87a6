package keystone

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"
)

// The cost of one password hash: the second of the equivalent settings that OWASP's Password Storage Cheat Sheet
// gives for argon2id; about 20 ms of one core.
const (
	argonMemoryKiB = 19 * 1024
	argonPasses    = 2
	argonLanes     = 1
	argonSaltBytes = 16
	argonKeyBytes  = 32
)

const maxPasswordBytes = 4096

// passwords hashes and checks passwords and the secrets of application credentials.
type passwords struct {
	turns    *turns
	failures failures
}

func newPasswords() *passwords {
	return &passwords{turns: newTurns(), failures: failures{counts: map[string]*failing{}}}
}

// check tells whether password belongs to hash. An empty hash belongs to none, and takes as long to say so. An error says
// that nothing was checked.
func (p *passwords) check(ctx context.Context, a attempt, password, hash string) (bool, error) {
	if wait := p.failures.wait(a, time.Now()); wait > 0 { // costs nothing to say
		return false, errTooMany(wait)
	}
	done, err := p.turns.take(ctx, a)
	if err != nil {
		return false, err
	}
	defer done()
	giveBack, wait := p.failures.take(a, time.Now())
	if wait > 0 {
		return false, errTooMany(wait)
	}
	if !matches(password, hash) {
		return false, nil
	}
	giveBack() // only failures count
	return true, nil
}

// hash returns what to keep of a password. who is the user for whom it is made.
func (p *passwords) hash(ctx context.Context, who, password string) (string, error) {
	done, err := p.turns.take(ctx, attempt{account: who, known: "signed in"})
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, argonSaltBytes)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return encodeHash(currentCost, salt, currentCost.key(password, salt)), nil
}

// cost is what one hash costs, as it stands in the hash.
type cost struct {
	memoryKiB, passes uint32
	lanes             uint8
}

var currentCost = cost{memoryKiB: argonMemoryKiB, passes: argonPasses, lanes: argonLanes}

func (c cost) key(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(password), salt, c.passes, c.memoryKiB, c.lanes, argonKeyBytes)
}

// hashForm is the usual PHC form of a hash: the cost, then salt and key in base64.
const hashForm = "$argon2id$v=19$m=%d,t=%d,p=%d$%s"

func encodeHash(c cost, salt, key []byte) string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf(hashForm, c.memoryKiB, c.passes, c.lanes, b64.EncodeToString(salt)+"$"+b64.EncodeToString(key))
}

// decodeHash returns no key for a text that is not a hash.
func decodeHash(hash string) (c cost, salt, key []byte) {
	var encoded string
	if _, err := fmt.Sscanf(hash, hashForm, &c.memoryKiB, &c.passes, &c.lanes, &encoded); err != nil {
		return currentCost, nil, nil
	}
	saltText, keyText, _ := strings.Cut(encoded, "$")
	salt, saltErr := base64.RawStdEncoding.DecodeString(saltText)
	key, keyErr := base64.RawStdEncoding.DecodeString(keyText)
	if saltErr != nil || keyErr != nil || len(key) != argonKeyBytes || c.passes < 1 || c.lanes < 1 {
		return currentCost, nil, nil
	}
	return c, salt, key
}

// matches compares in constant time, and hashes also when there is nothing to compare with.
func matches(password, hash string) bool {
	c, salt, key := decodeHash(hash)
	if key == nil {
		c.key(password, make([]byte, argonSaltBytes))
		return false
	}
	return subtle.ConstantTimeCompare(c.key(password, salt), key) == 1
}
