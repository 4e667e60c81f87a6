package tlsconf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"slices"
	"sync"
	"time"

	"poise/internal/dataplane"
)

const (
	// ticketKeyPeriod is how long one key encrypts tickets: whoever steals it reads no more than that.
	ticketKeyPeriod = time.Hour
	// ticketLifetime is how long tickets are accepted; crypto/tls itself forgets sessions after 7 days.
	ticketLifetime = 12 * time.Hour

	ticketKeySize   = 32 // AES-256
	ticketNameSize  = 8  // says which key encrypted a ticket
	ticketNonceSize = 12
)

// TicketKeys encrypt the session tickets of one listener. They change from time to time by themselves; tickets made under a
// client authentication that was changed meanwhile are not accepted any more. The zero value is ready for use, by many at once.
type TicketKeys struct {
	mu   sync.RWMutex // guards keys
	keys []*ticketKey // the newest first
}

type ticketKey struct {
	name    [ticketNameSize]byte
	aead    cipher.AEAD
	created time.Time
}

// use has config make and accept tickets that are good for this client authentication only.
func (t *TicketKeys) use(config *tls.Config, authentication digest) {
	config.WrapSession = func(_ tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		state, err := session.Bytes()
		if err != nil {
			return nil, err
		}
		return t.newest(time.Now()).seal(state, authentication), nil
	}
	config.UnwrapSession = func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
		state := t.open(ticket, authentication, time.Now())
		if state == nil {
			return nil, nil // a full handshake follows
		}
		session, err := tls.ParseSessionState(state)
		if err != nil {
			return nil, nil
		}
		return session, nil
	}
}

// authenticationID names a client authentication. Whoever was let in under one was not let in under another.
func authenticationID(c *dataplane.ServerTLS) digest {
	if c.ClientAuth != dataplane.OptionalClientAuth && c.ClientAuth != dataplane.RequiredClientAuth {
		return digestOf()
	}
	authorities, revocations := digestOf(c.ClientCAs...), digestOf(c.Revocations...)
	return digestOf([]byte(c.ClientAuth), authorities[:], revocations[:])
}

// newest is the key for tickets that are made now.
func (t *TicketKeys) newest(now time.Time) *ticketKey {
	t.mu.RLock()
	if len(t.keys) > 0 && now.Sub(t.keys[0].created) < ticketKeyPeriod {
		defer t.mu.RUnlock()
		return t.keys[0]
	}
	t.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.keys) == 0 || now.Sub(t.keys[0].created) >= ticketKeyPeriod {
		t.keys = slices.DeleteFunc(t.keys, func(k *ticketKey) bool { return k.expired(now) })
		t.keys = slices.Insert(t.keys, 0, newTicketKey(now))
	}
	return t.keys[0]
}

// open is nil for tickets that are not ours, too old, or of another client authentication.
func (t *TicketKeys) open(ticket []byte, authentication digest, now time.Time) []byte {
	if len(ticket) < ticketNameSize+ticketNonceSize {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, key := range t.keys {
		if bytes.Equal(key.name[:], ticket[:ticketNameSize]) && !key.expired(now) {
			return key.open(ticket, authentication)
		}
	}
	return nil
}

func newTicketKey(now time.Time) *ticketKey {
	k := &ticketKey{created: now}
	var secret [ticketKeySize]byte
	_, _ = rand.Read(secret[:]) // never fails
	_, _ = rand.Read(k.name[:])
	block, err := aes.NewCipher(secret[:])
	if err != nil {
		panic("tlsconf: the size of a ticket key: " + err.Error())
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		panic("tlsconf: the cipher of a ticket key: " + err.Error())
	}
	return k
}

// expired counts from the moment in which the key's last ticket was made.
func (k *ticketKey) expired(now time.Time) bool {
	return now.Sub(k.created) >= ticketKeyPeriod+ticketLifetime
}

// seal makes a ticket: the key's name, a nonce, and the state with its tag.
func (k *ticketKey) seal(state []byte, authentication digest) []byte {
	ticket := make([]byte, ticketNameSize+ticketNonceSize, ticketNameSize+ticketNonceSize+len(state)+k.aead.Overhead())
	copy(ticket, k.name[:])
	nonce := ticket[ticketNameSize:]
	_, _ = rand.Read(nonce)
	return k.aead.Seal(ticket, nonce, state, authentication[:])
}

func (k *ticketKey) open(ticket []byte, authentication digest) []byte {
	nonce := ticket[ticketNameSize : ticketNameSize+ticketNonceSize]
	state, err := k.aead.Open(nil, nonce, ticket[ticketNameSize+ticketNonceSize:], authentication[:])
	if err != nil {
		return nil
	}
	return state
}
