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

// ticketTerm is how long the key of tickets is used, and how long they are accepted.
type ticketTerm struct{ period, lifetime time.Duration }

var (
	// oldTerm is that of tickets before TLS 1.3. Whoever steals a key can read the connections that began with its tickets, or made
	// them, so that it is used for an hour only.
	oldTerm = ticketTerm{time.Hour, 12 * time.Hour}
	// newTerm is that of TLS 1.3. A ticket says there how long it is good; crypto/tls says 7 days, which nobody can change.
	// A stolen key opens no recorded connection, as each has exchanged keys of its own.
	newTerm = ticketTerm{12 * time.Hour, 7 * 24 * time.Hour}
)

const (
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
	term    ticketTerm
}

// use has config make and accept tickets that are good for this client authentication only.
func (t *TicketKeys) use(config *tls.Config, authentication digest) {
	config.WrapSession = func(connection tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
		state, err := session.Bytes()
		if err != nil {
			return nil, err
		}
		term := oldTerm
		if connection.Version >= tls.VersionTLS13 {
			term = newTerm
		}
		return t.newest(time.Now(), term).seal(state, authentication), nil
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
func (t *TicketKeys) newest(now time.Time, term ticketTerm) *ticketKey {
	isInUse := func(k *ticketKey) bool { return k.term == term && now.Sub(k.created) < term.period }
	t.mu.RLock()
	i := slices.IndexFunc(t.keys, isInUse)
	if i >= 0 {
		defer t.mu.RUnlock()
		return t.keys[i]
	}
	t.mu.RUnlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if i = slices.IndexFunc(t.keys, isInUse); i >= 0 {
		return t.keys[i]
	}
	t.keys = slices.DeleteFunc(t.keys, func(k *ticketKey) bool { return k.expired(now) })
	t.keys = slices.Insert(t.keys, 0, newTicketKey(now, term))
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

func newTicketKey(now time.Time, term ticketTerm) *ticketKey {
	k := &ticketKey{created: now, term: term}
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
	return now.Sub(k.created) >= k.term.period+k.term.lifetime
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
