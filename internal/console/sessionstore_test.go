package console

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
)

// signInAs begins a session of a user, as the session manager does.
func signInAs(t *testing.T, s *sessionStore, token, userID string) {
	t.Helper()
	raw, err := json.Marshal(person{UserID: userID})
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(idleTimeout)
	data, err := scs.GobCodec{}.Encode(expires, map[string]any{personKey: raw})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(token, data, expires); err != nil {
		t.Fatal(err)
	}
}

func (s *sessionStore) has(token string) bool {
	_, found, err := s.Find(token)
	return found && err == nil
}

// TestSessionsHaveShares has users sign in again and again. They end their own sessions, and nobody else's.
func TestSessionsHaveShares(t *testing.T) {
	s := newSessionStore()
	signInAs(t, s, "owner", "owner")
	for i := range 3 * maxSessionsOfUser {
		signInAs(t, s, fmt.Sprint("one ", i), "one")
	}
	if got := len(s.all); got != maxSessionsOfUser+1 || !s.has("owner") || s.has("one 0") || !s.has(fmt.Sprint("one ", 3*maxSessionsOfUser-1)) {
		t.Errorf("%d sessions after one user", got)
	}
	for i := range maxSessions {
		signInAs(t, s, fmt.Sprint("many ", i), fmt.Sprint(i%(maxSessions/50)))
	}
	if len(s.all) != maxSessions || !s.has("owner") {
		t.Errorf("%d sessions after many users, the owner's: %v", len(s.all), s.has("owner"))
	}
}
