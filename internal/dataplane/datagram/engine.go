package datagram

import (
	"runtime"
	"sync"
	"time"

	"poise/internal/dataplane/accesslog"
	eventloop "poise/internal/dataplane/loop"
)

const (
	// silence is what ends a flow: nothing was sent either way for so long. Octavia's amphora has the kernel's timeouts
	// for it (30 s, or 2 minutes once both sides have spoken); this is between them. Timeouts of listeners are about
	// connections and do not apply (octavia-dataplane.md §6).
	silence = 60 * time.Second
	// descriptorShare is the part of the process's descriptors that flows may have, one in so many: whoever forges the
	// addresses of clients makes a flow with each datagram.
	descriptorShare = 4
)

// Engine runs the event loops that carry the datagrams of every load balancer of this process.
type Engine struct {
	descriptors *eventloop.Descriptors
	hops        eventloop.Hops
	limit       int64 // flows that may have a descriptor; each loop has its part
	loops       []*loop
	wg          sync.WaitGroup
}

// StartEngine starts one event loop for each processor. The caller closes the engine after the servers that use it.
func StartEngine(descriptors *eventloop.Descriptors) (*Engine, error) {
	e := &Engine{descriptors: descriptors, limit: descriptors.Limit() / descriptorShare}
	return e, e.start(min(runtime.GOMAXPROCS(0), runtime.NumCPU()))
}

func (e *Engine) start(loops int) error {
	for range loops {
		l, err := newLoop(e, max(e.limit/int64(loops), 1))
		if err != nil {
			e.Close()
			return err
		}
		e.loops = append(e.loops, l)
		e.wg.Go(l.run)
	}
	e.descriptors.Register(e)
	return nil
}

// Close ends the loops and waits for them.
func (e *Engine) Close() {
	for _, l := range e.loops {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
}

// TakeBack has the loops end flows of load balancers above their share, those that were silent for longest.
func (e *Engine) TakeBack(c *eventloop.Collection) {
	for _, l := range e.loops {
		c.Begin()
		if !l.post(func() { defer c.End(); l.takeBack(c) }) {
			c.End()
		}
	}
}

func (l *loop) takeBack(c *eventloop.Collection) {
	for f := range l.silent.all() {
		if c.Enough() {
			return
		}
		if c.Above(f.port.listener.server.files) {
			f.end(accesslog.Evicted)
		}
	}
}

// Retry has nothing to do: a client's next datagram tries again.
func (e *Engine) Retry() {}

// leastBusy is the loop with the fewest listeners.
func (e *Engine) leastBusy() *loop {
	least := e.loops[0]
	for _, l := range e.loops[1:] {
		if l.listeners.Load() < least.listeners.Load() {
			least = l
		}
	}
	return least
}
