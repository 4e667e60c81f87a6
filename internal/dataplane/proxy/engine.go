package proxy

import (
	"runtime"
	"sync"

	eventloop "poise/internal/dataplane/loop"
)

// Engine runs the event loops that carry the connections of every load balancer of this process.
type Engine struct {
	loops       []*loop
	descriptors *eventloop.Descriptors
	hops        eventloop.Hops
	handshakes  *handshakes
	shedAfterMs int64 // the constant; tests have less
	turnNs      int64 // likewise
	wg          sync.WaitGroup
	evictions   sync.WaitGroup
	processors  int // GOMAXPROCS before the engine; 0: it was left alone

	mu      sync.Mutex // guards servers
	servers map[*Server]struct{}
}

// StartEngine starts one event loop for each processor that Go may use, and lets Go use more, virtual, processors until the
// engine is closed: one for each loop, one for each handshake that calculates, and one for the rest. A loop at work makes system
// calls past Go's scheduler and so keeps its processor: with none to spare, goroutines wait for up to 10 ms behind busy loops,
// and loops that have waited behind handshakes, where Go does not know which of them is in a hurry and the kernel does. And the
// scheduler's monitor wakes every 20 µs to take processors from loops that wait (5 % of the CPU time of short connections).
//
// The caller closes the engine after the servers that use it.
func StartEngine(descriptors *eventloop.Descriptors) (*Engine, error) {
	processors := runtime.GOMAXPROCS(0)
	e, err := startEngine(descriptors, processors)
	if err != nil {
		return nil, err
	}
	e.processors = processors
	runtime.GOMAXPROCS(2*processors + 1)
	return e, nil
}

func startEngine(descriptors *eventloop.Descriptors, loops int) (*Engine, error) {
	e := &Engine{descriptors: descriptors, handshakes: newHandshakes(loops), shedAfterMs: shedAfterMs, turnNs: turnNs, servers: map[*Server]struct{}{}}
	for n := range loops {
		l, err := newLoop(e, n)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.loops = append(e.loops, l)
		e.wg.Go(l.run)
	}
	descriptors.Register(e)
	return e, nil
}

// NewAccount opens the account of a load balancer, with the descriptors that the engine has.
func (e *Engine) NewAccount() *eventloop.Account { return e.descriptors.NewAccount() }

// Close ends the loops and waits for them.
func (e *Engine) Close() {
	e.handshakes.stop()
	for _, l := range e.loops {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
	e.evictions.Wait()
	if e.processors > 0 {
		runtime.GOMAXPROCS(e.processors)
	}
}

// onEachLoop has every loop run f, and waits until all have. Loops must not call it.
func (e *Engine) onEachLoop(f func(*loop)) {
	var wg sync.WaitGroup
	for _, l := range e.loops {
		wg.Add(1)
		if !l.post(func() { defer wg.Done(); f(l) }) {
			wg.Done()
		}
	}
	wg.Wait()
}

// leastBusy is the loop with the fewest connections.
func (e *Engine) leastBusy() *loop {
	least := e.loops[0]
	for _, l := range e.loops[1:] {
		if l.load.Load() < least.load.Load() {
			least = l
		}
	}
	return least
}
