package store

import (
	"sync"

	"poise/internal/lb"
)

// maxCached is how many load balancers are kept in memory; beyond it, any other makes room.
const maxCached = 20_000

// versioned is a snapshot with the version at which it is true.
type versioned struct {
	version  int64
	snapshot lb.Snapshot
}

// cache holds the newest snapshot of load balancers by id.
type cache struct {
	mu   sync.Mutex // guards byID
	byID map[string]versioned
}

func newCache() *cache { return &cache{byID: map[string]versioned{}} }

// get returns the snapshot when it is of this version, which was just read, or of one that was written since.
func (c *cache) get(id string, version int64) (lb.Snapshot, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, ok := c.byID[id]
	return entry.snapshot, ok && entry.version >= version
}

// put keeps a snapshot, unless a newer one is there.
func (c *cache) put(id string, version int64, snapshot lb.Snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry, known := c.byID[id]
	if known && entry.version > version {
		return
	}
	if !known && len(c.byID) >= maxCached {
		for other := range c.byID {
			delete(c.byID, other)
			break
		}
	}
	c.byID[id] = versioned{version, snapshot}
}

func (c *cache) drop(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, id)
}

// keyedMutex is a mutex for each key; the zero value is ready.
type keyedMutex struct {
	mu    sync.Mutex // guards locks and their users
	locks map[string]*countedMutex
}

type countedMutex struct {
	sync.Mutex
	users int // holders and waiters
}

// lock locks the key and returns what unlocks it.
func (k *keyedMutex) lock(key string) (unlock func()) {
	k.mu.Lock()
	if k.locks == nil {
		k.locks = map[string]*countedMutex{}
	}
	m := k.locks[key]
	if m == nil {
		m = &countedMutex{}
		k.locks[key] = m
	}
	m.users++
	k.mu.Unlock()
	m.Lock()
	return func() {
		m.Unlock()
		k.mu.Lock()
		defer k.mu.Unlock()
		if m.users--; m.users == 0 {
			delete(k.locks, key)
		}
	}
}
