package balance

import (
	"container/list"
	"time"
)

// maxAffinities is how many clients, and how many cookies, a pool remembers: what Octavia gives its tables.
const maxAffinities = 10_000

// affinity remembers which client, known by a key, belongs to which member. When it is full, the client seen longest ago
// is forgotten.
type affinity[K comparable] struct {
	limit  int
	byKey  map[K]*list.Element
	recent *list.List // of *owner[K]; the client seen last is in front
}

type owner[K comparable] struct {
	key      K
	memberID string
	seen     time.Time // zero where nothing expires
}

func newAffinity[K comparable](limit int) *affinity[K] {
	return &affinity[K]{limit: limit, byKey: map[K]*list.Element{}, recent: list.New()}
}

// get is the member of a client that was seen at since or later.
func (a *affinity[K]) get(key K, since time.Time) (memberID string, ok bool) {
	e, ok := a.byKey[key]
	if !ok {
		return "", false
	}
	o := e.Value.(*owner[K])
	return o.memberID, !o.seen.Before(since)
}

func (a *affinity[K]) put(key K, memberID string, seen time.Time) {
	if e, ok := a.byKey[key]; ok {
		o := e.Value.(*owner[K])
		o.memberID, o.seen = memberID, seen
		a.recent.MoveToFront(e)
		return
	}
	if a.recent.Len() >= a.limit {
		oldest := a.recent.Back()
		delete(a.byKey, oldest.Value.(*owner[K]).key)
		a.recent.Remove(oldest)
	}
	a.byKey[key] = a.recent.PushFront(&owner[K]{key, memberID, seen})
}

// has says whether the key is known, however long ago it was seen.
func (a *affinity[K]) has(key K) bool {
	_, ok := a.byKey[key]
	return ok
}
