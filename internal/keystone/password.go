package keystone

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/time/rate"
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

const (
	// maxHashing bounds how many passwords are hashed at once, and with it their memory (19 MiB each).
	maxHashing = 4
	// maxHashWait is how long a login waits for its turn before it is told to come back.
	maxHashWait = 10 * time.Second

	// failureBurst is how many wrong passwords in a row one user may give; from then on one each failureEvery.
	failureBurst = 10
	failureEvery = 6 * time.Second
	// maxFailing bounds for how many names failed logins are counted; at the limit those that recovered are forgotten.
	maxFailing = 10_000

	maxPasswordBytes = 4096
)

// passwords hashes and checks passwords and the secrets of application credentials.
type passwords struct {
	turns chan struct{} // one slot for each hash at work

	mu      sync.Mutex // guards failing
	failing map[string]*rate.Limiter
}

func newPasswords() *passwords {
	return &passwords{
		turns:   make(chan struct{}, min(runtime.GOMAXPROCS(0), maxHashing)),
		failing: map[string]*rate.Limiter{},
	}
}

// check tells whether password belongs to hash. An empty hash belongs to none, and takes as long to say so. who is
// the user on whose account a failure goes. An error says that nothing was checked.
func (p *passwords) check(ctx context.Context, who, password, hash string) (bool, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	// Behind the turn, so that guesses made at the same time do not all pass before the first is counted.
	if wait := p.wait(who, time.Now()); wait > 0 {
		return false, errTooMany(wait)
	}
	if matches(password, hash) {
		return true, nil
	}
	p.failed(who, time.Now())
	return false, nil
}

// hash returns what to keep of a password.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	done, err := p.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := make([]byte, argonSaltBytes)
	_, _ = rand.Read(salt) // never fails (crypto/rand)
	return encodeHash(currentCost, salt, currentCost.key(password, salt)), nil
}

// turn waits until the caller may hash.
func (p *passwords) turn(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, maxHashWait)
	defer cancel()
	select {
	case p.turns <- struct{}{}:
		return func() { <-p.turns }, nil
	case <-ctx.Done():
		return nil, &fault{
			status: http.StatusServiceUnavailable, retryAfter: maxHashWait,
			message: "Too many logins at once; try again later.",
		}
	}
}

// wait returns how long who has to wait before the next attempt.
func (p *passwords) wait(who string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.failing[who]
	if limit == nil {
		return 0
	}
	missing := 1 - limit.TokensAt(now)
	return max(0, time.Duration(missing*float64(failureEvery)))
}

// failed counts a failed login.
func (p *passwords) failed(who string, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.failing[who]
	if limit == nil {
		p.makeRoom(now)
		limit = rate.NewLimiter(rate.Every(failureEvery), failureBurst)
		p.failing[who] = limit
	}
	limit.AllowN(now, 1)
}

// makeRoom forgets the names that recovered, or any one when there are none. p.mu is held.
func (p *passwords) makeRoom(now time.Time) {
	if len(p.failing) < maxFailing {
		return
	}
	for who, limit := range p.failing {
		if limit.TokensAt(now) >= failureBurst {
			delete(p.failing, who)
		}
	}
	for who := range p.failing {
		if len(p.failing) < maxFailing {
			return
		}
		delete(p.failing, who)
	}
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
