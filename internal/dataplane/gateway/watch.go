package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// watchInterval is how exactly silences are measured. One timer watches all exchanges: a deadline for each read and write
// would cost more than the reads and writes of small messages.
const watchInterval = 200 * time.Millisecond

// watcher calls sweep again and again while there is something to watch.
type watcher struct {
	sweep func(now time.Time) (more bool)
	clock clock
	mu    sync.Mutex // guards what follows
	timer *time.Timer
	wg    sync.WaitGroup // the call under way or planned
	ended bool
}

func newWatcher(sweep func(time.Time) bool) *watcher { return &watcher{sweep: sweep} }

// wake begins to watch, if that has not begun.
func (w *watcher) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil && !w.ended {
		w.clock.Store(time.Now().UnixNano())
		w.wg.Add(1)
		w.timer = time.AfterFunc(watchInterval, w.tick)
	}
}

func (w *watcher) tick() {
	defer w.wg.Done()
	w.mu.Lock()
	w.timer = nil // who wakes it from now on may have come too late for this sweep
	w.mu.Unlock()
	now := time.Now()
	w.clock.Store(now.UnixNano())
	if w.sweep(now) {
		w.wake()
	}
}

// stop ends the watching and waits for it.
func (w *watcher) stop() {
	w.mu.Lock()
	w.ended = true
	if w.timer != nil && w.timer.Stop() {
		w.wg.Done()
	}
	w.mu.Unlock()
	w.wg.Wait()
}

// clock is the time of the last sweep, Unix time in ns: it is at most watchInterval slow, and costs less to read than the time.
type clock = atomic.Int64

// side is one of the two that an exchange may wait for.
type side int32

const (
	nobody side = iota
	theClient
	theMember
)

// silence follows for whom an exchange waits, and since when. It has two threads: the one of the handler, which ends up with the
// response, and that of an upload. Progress of either ends the silence of both sides, as in HAProxy.
type silence struct {
	clock    *clock
	since    atomic.Int64 // by the clock
	response thread
	upload   thread
	blamed   atomic.Int32 // the side whose silence has ended the exchange
}

// thread has the side that it waits for.
type thread = atomic.Int32

func (s *silence) reset(c *clock) {
	s.clock = c
	s.since.Store(c.Load())
	s.response.Store(int32(nobody))
	s.upload.Store(int32(nobody))
	s.blamed.Store(int32(nobody))
}

// wait says that one thread waits for a side from now on.
func (s *silence) wait(t *thread, side side) {
	s.since.Store(s.clock.Load())
	t.Store(int32(side))
}

// overdue is the side that has been silent for too long; nobody, if neither has. A member that waits for a client's upload
// is not silent.
func (s *silence) overdue(now time.Time, client, member time.Duration) side {
	silent := time.Duration(now.UnixNano()-s.since.Load()) - watchInterval // at least
	response, upload := side(s.response.Load()), side(s.upload.Load())
	switch {
	case (response == theClient || upload == theClient) && silent >= client:
		return theClient
	case (upload == theMember || upload == nobody && response == theMember) && silent >= member:
		return theMember
	}
	return nobody
}
