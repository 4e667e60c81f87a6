package gateway

import (
	"net"
	"runtime"
	"sync"
	"time"
)

const (
	// maxOutbox is how much one connection has waiting for its writer; who writes more waits.
	maxOutbox = 64 << 10
	// largeWrite is written at once where nothing waits: copying it would cost more than a system call.
	largeWrite = 8 << 10
)

// outbox gathers what several requests of one connection write at about the same time, so that it goes out in one TLS record and
// one system call. net/http writes the responses of HTTP/2 one by one, which costs a third of all it does.
type outbox struct {
	mu      sync.Mutex // guards what follows
	changed sync.Cond  // of waiting, writing or over
	waiting []byte
	spare   []byte // the memory of what was written last
	writing bool   // somebody writes to the connection
	since   time.Time
	runs    bool // there is a writer,
	rest    bool // which is to go home
	busy    bool // something was written since the last sweep
	over    bool
	err     error // of an earlier write
}

// write gives p to the writer.
func (o *outbox) write(s *session, p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.busy, o.rest = true, false
	for o.err == nil && !o.over && len(o.waiting) > 0 && len(o.waiting)+len(p) > maxOutbox {
		o.wait()
	}
	switch {
	case o.err != nil:
		return 0, o.err
	case o.over:
		return 0, net.ErrClosed
	case len(p) >= largeWrite && len(o.waiting) == 0 && !o.writing:
		return o.writeNow(s.Conn, p)
	}
	o.waiting = append(o.waiting, p...)
	if !o.runs {
		o.runs = true
		s.gateway.servings.Go(func() { o.run(s) })
	}
	o.notify()
	return len(p), nil
}

// writeNow writes without the lock, which its caller holds.
func (o *outbox) writeNow(conn net.Conn, p []byte) (int, error) {
	o.writing, o.since = true, time.Now()
	o.mu.Unlock()
	n, err := conn.Write(p)
	o.mu.Lock()
	o.writing = false
	if err != nil {
		o.err = err
	}
	o.notify()
	return n, err
}

// run writes what waits, until there has been nothing for some time. Before each piece it lets other goroutines run that are ready to,
// whose responses may go out with it.
func (o *outbox) run(s *session) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		for len(o.waiting) == 0 || o.writing {
			if o.over || o.rest {
				o.runs, o.rest = false, false
				return
			}
			o.wait()
		}
		o.mu.Unlock()
		runtime.Gosched()
		o.mu.Lock()
		if o.writing {
			continue
		}
		p := o.waiting
		o.waiting, o.spare = o.spare[:0], nil
		_, _ = o.writeNow(s.Conn, p)
		if cap(p) <= maxOutbox {
			o.spare = p[:0]
		}
		if o.err != nil {
			o.waiting = nil
		}
	}
}

func (o *outbox) wait() {
	if o.changed.L == nil {
		o.changed.L = &o.mu
	}
	o.changed.Wait()
}

func (o *outbox) notify() { o.changed.Broadcast() }

// drain waits until everything is written.
func (o *outbox) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.err == nil && !o.over && (len(o.waiting) > 0 || o.writing) {
		o.wait()
	}
}

// end sends the writer home. What waits is lost.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over, o.waiting = true, nil
	o.notify()
}

// sweep sends a writer home that has nothing to do, and says whether the client has not taken anything for that long.
func (o *outbox) sweep(now time.Time, silence time.Duration) (stuck bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.busy && !o.writing && len(o.waiting) == 0 {
		o.rest, o.spare, o.waiting = o.runs, nil, nil
		o.notify()
	}
	o.busy = false
	return o.writing && now.Sub(o.since) > silence
}
