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
	// maxSessions and maxSessionsOfUser bound how many sessions there are, and how many of one user. A new one beyond them ends
	// the session that expires first: of the user's own or, when there are too many of all, of the user with most.
	maxSessions       = 10_000
	maxSessionsOfUser = 100
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
			Store: newSessionStore(), Codec: scs.GobCodec{}, HashTokenInStore: true,
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
