package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

const (
	// maxSessions bounds how many people are signed in; another one ends the session that expires first.
	maxSessions = 10_000
	// idleTimeout ends a session in which nothing was clicked. Pages that update themselves do not count.
	idleTimeout = 2 * time.Hour
	// sessionLifetime ends every session; so does the end of its token.
	sessionLifetime = 12 * time.Hour
	// tokenCheck is how old the knowledge may be that a token is good.
	tokenCheck = time.Minute
)

// The keys of a session.
const (
	personKey = "person"
	noticeKey = "notice"
)

// doors know who is signed in.
type doors struct {
	sessions *scs.SessionManager
	attempts *attempts

	mu      sync.Mutex           // guards checked
	checked map[string]time.Time // by token: when it was last known to be good
}

// newDoors makes the session manager by hand: scs.New would start a store that is not wanted.
func newDoors(secure bool) *doors {
	return &doors{
		sessions: &scs.SessionManager{
			Store: &sessionStore{all: map[string]storedSession{}}, Codec: scs.GobCodec{}, HashTokenInStore: true,
			IdleTimeout: idleTimeout, Lifetime: sessionLifetime,
			Cookie: scs.SessionCookie{Name: "poise_console", Path: Base, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: secure},
			ErrorFunc: func(w http.ResponseWriter, _ *http.Request, _ error) { // of a store that does not fail
				http.Error(w, "The session could not be read.", http.StatusInternalServerError)
			},
		},
		attempts: newAttempts(), checked: map[string]time.Time{},
	}
}

// load reads the session of a request as it is now; changes of it are not kept, and it does not last the longer for it.
func (d *doors) load(r *http.Request) (context.Context, error) {
	token := ""
	if cookie, err := r.Cookie(d.sessions.Cookie.Name); err == nil {
		token = cookie.Value
	}
	return d.sessions.Load(r.Context(), token)
}

// person is who the request's session belongs to; nil when nobody is signed in.
func (d *doors) person(ctx context.Context) *person {
	raw := d.sessions.GetBytes(ctx, personKey)
	if raw == nil {
		return nil
	}
	p := &person{}
	if json.Unmarshal(raw, p) != nil || time.Now().After(p.Expires) {
		return nil
	}
	return p
}

// isFresh tells whether a token was known to be good a moment ago.
func (d *doors) isFresh(token string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Since(d.checked[token]) < tokenCheck
}

// noteGood notes that a token is good now.
func (d *doors) noteGood(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.checked) >= maxSessions {
		clear(d.checked)
	}
	d.checked[token] = time.Now()
}

// keep puts a person into the session.
func (d *doors) keep(ctx context.Context, p *person) error {
	raw, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	d.sessions.Put(ctx, personKey, raw)
	return nil
}

// enter begins a session with a name of its own, so that nobody can have prepared it.
func (d *doors) enter(ctx context.Context, p *person) error {
	if err := d.sessions.RenewToken(ctx); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	return d.keep(ctx, p)
}

// sessionStore keeps sessions in memory (scs.Store): a restart signs everybody out.
type sessionStore struct {
	mu  sync.Mutex // guards all
	all map[string]storedSession
}

type storedSession struct {
	data    []byte
	expires time.Time
}

func (s *sessionStore) Find(token string) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.all[token]
	if !ok || time.Now().After(found.expires) {
		return nil, false, nil
	}
	return found.data, true, nil
}

func (s *sessionStore) Commit(token string, data []byte, expires time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.all[token]; !known && len(s.all) >= maxSessions {
		s.makeRoom()
	}
	s.all[token] = storedSession{data, expires}
	return nil
}

// makeRoom drops what has expired, or else what will expire first. The caller holds the mutex.
func (s *sessionStore) makeRoom() {
	first, now := "", time.Now()
	for token, session := range s.all {
		if now.After(session.expires) {
			delete(s.all, token)
		} else if first == "" || session.expires.Before(s.all[first].expires) {
			first = token
		}
	}
	if len(s.all) >= maxSessions {
		delete(s.all, first)
	}
}

func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, token)
	return nil
}
