package control

import (
	"context"
	"sync"
	"time"
)

// queue holds the ids of load balancers to look at. An id is in it at most once, however often it is added, and is
// never given out twice at the same time: one that is added while it is worked on comes again afterwards. So its length
// is bounded by the number of load balancers.
type queue struct {
	mu      sync.Mutex             // guards what follows
	waiting []string               // in order
	queued  map[string]bool        // in waiting
	busy    map[string]bool        // given out
	again   map[string]bool        // added while busy
	later   map[string]*time.Timer // to be added after a pause: at most one timer for each id, however often it fails
	wake    chan struct{}          // closed and replaced when something is added
}

func newQueue() *queue {
	return &queue{queued: map[string]bool{}, busy: map[string]bool{}, again: map[string]bool{}, later: map[string]*time.Timer{}, wake: make(chan struct{})}
}

// add queues an id.
func (q *queue) add(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.busy[id]:
		q.again[id] = true
	case !q.queued[id]:
		q.queued[id] = true
		q.waiting = append(q.waiting, id)
		close(q.wake)
		q.wake = make(chan struct{})
	}
}

// addAfter queues an id after a pause, instead of after the pause that it was given before.
func (q *queue) addAfter(id string, pause time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stopTimer(id)
	q.later[id] = time.AfterFunc(pause, func() { q.add(id) })
}

// stopTimer ends an id's pause, if it has one. The caller holds the mutex.
func (q *queue) stopTimer(id string) {
	if timer := q.later[id]; timer != nil {
		timer.Stop()
		delete(q.later, id)
	}
}

// next waits for an id and gives it out; false when ctx has ended.
func (q *queue) next(ctx context.Context) (string, bool) {
	for {
		q.mu.Lock()
		if len(q.waiting) > 0 && ctx.Err() == nil {
			id := q.waiting[0]
			q.waiting = q.waiting[1:]
			delete(q.queued, id)
			q.stopTimer(id) // the attempt that it waited for begins
			q.busy[id] = true
			q.mu.Unlock()
			return id, true
		}
		wake := q.wake
		q.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return "", false
		}
	}
}

// length is how many ids wait.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// done takes an id back that next gave out.
func (q *queue) done(id string) {
	q.mu.Lock()
	again := q.again[id]
	delete(q.busy, id)
	delete(q.again, id)
	q.mu.Unlock()
	if again {
		q.add(id)
	}
}
