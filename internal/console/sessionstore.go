package console

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2"
)

// sessionStore keeps sessions in memory (scs.Store): a restart signs everybody out.
type sessionStore struct {
	mu  sync.Mutex // guards all
	all map[string]storedSession
}

type storedSession struct {
	data    []byte
	expires time.Time
	userID  string
}

func newSessionStore() *sessionStore { return &sessionStore{all: map[string]storedSession{}} }

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
	stored, known := s.all[token]
	if !known {
		stored.userID = sessionUser(data)
		s.makeRoom(stored.userID)
	}
	stored.data, stored.expires = data, expires
	s.all[token] = stored
	return nil
}

// sessionUser is whose session it is, "" when nobody has signed in. A session does not change hands: who signs in gets another.
func sessionUser(data []byte) string {
	_, values, err := scs.GobCodec{}.Decode(data)
	if err != nil {
		return ""
	}
	raw, _ := values[personKey].([]byte)
	var p person
	_ = json.Unmarshal(raw, &p)
	return p.UserID
}

// makeRoom drops what has expired and, where a limit is reached, one more, so that the user can have another session. The
// caller holds the mutex.
func (s *sessionStore) makeRoom(userID string) {
	count, now := map[string]int{}, time.Now()
	for token, session := range s.all {
		if now.After(session.expires) {
			delete(s.all, token)
		} else {
			count[session.userID]++
		}
	}
	if count[userID] >= maxSessionsOfUser {
		s.dropFirst(userID)
		return
	}
	if len(s.all) < maxSessions {
		return
	}
	most := userID
	for other := range count {
		if count[other] > count[most] {
			most = other
		}
	}
	s.dropFirst(most)
}

// dropFirst drops the session of a user that expires first. The caller holds the mutex.
func (s *sessionStore) dropFirst(userID string) {
	first := ""
	for token, session := range s.all {
		if session.userID == userID && (first == "" || session.expires.Before(s.all[first].expires)) {
			first = token
		}
	}
	delete(s.all, first)
}

func (s *sessionStore) Delete(token string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, token)
	return nil
}
