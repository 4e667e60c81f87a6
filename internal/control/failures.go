package control

import (
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// firstRetry and lastRetry bound the pause before what failed is tried again; it doubles each time.
	firstRetry = 100 * time.Millisecond
	lastRetry  = time.Minute
)

// failures knows the load balancers whose last attempt has failed: why, and how long they wait for the next.
type failures struct {
	mu  sync.Mutex // guards all
	all map[string]*failure
}

// failure is a row of failed attempts at one load balancer.
type failure struct {
	generation int64 // that was tried; 0: none could be read
	attempts   int
	cause      string // why the first attempt at the generation failed
	latest     string // why the last one did
	logged     string // the reason that the log has
}

// reason explains the failure to people. The cause stays in it: later attempts often fail only at what the first one left.
func (f *failure) reason() string {
	if f.latest == f.cause {
		return f.cause
	}
	return f.cause + "; the last attempt: " + f.latest
}

// note takes why an attempt at a generation has failed, and returns the reason to show. Noting an attempt twice is fine.
func (f *failures) note(id string, generation int64, err error) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := f.all[id]
	if row == nil || generation > row.generation { // what was changed may fail for another cause
		row = &failure{generation: generation, cause: err.Error()}
		f.all[id] = row
	}
	row.latest = err.Error()
	return row.reason()
}

// pause counts the attempt that was noted and returns the pause before the next one. fresh is the reason if the log does not
// have it yet. Pauses differ a little, so that those who failed together do not come back together.
func (f *failures) pause(id string) (pause time.Duration, fresh string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := f.all[id]
	pause = min(lastRetry, firstRetry<<min(row.attempts, 10))
	row.attempts++
	if reason := row.reason(); reason != row.logged {
		row.logged, fresh = reason, reason
	}
	return pause - rand.N(pause/8), fresh
}

// waits tells whether the load balancer waits for another attempt at this generation.
func (f *failures) waits(id string, generation int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := f.all[id]
	return row != nil && row.generation == generation
}

// end forgets the failures of a load balancer, and returns how many attempts have failed.
func (f *failures) end(id string) (attempts int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if row := f.all[id]; row != nil {
		attempts = row.attempts
	}
	delete(f.all, id)
	return attempts
}
