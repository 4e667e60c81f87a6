package proxy

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// descriptorReserve is how many descriptors of the process the engine leaves to everybody else: databases, API
// clients, health checks, listening sockets.
const descriptorReserve = 1000

// Engine runs the event loops that carry the connections of every load balancer of this process.
type Engine struct {
	loops  []*loop
	budget *budget
	wg     sync.WaitGroup
}

// StartEngine starts one event loop for each processor that Go may use. The caller closes the engine after the servers
// that use it.
func StartEngine(log *slog.Logger) (*Engine, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	available := max(int64(min(limit.Cur, 1<<30))-descriptorReserve, int64(limit.Cur)/2)
	return startEngine(newBudget(available, log), runtime.GOMAXPROCS(0))
}

func startEngine(b *budget, loops int) (*Engine, error) {
	e := &Engine{budget: b}
	for range loops {
		l, err := newLoop(e)
		if err != nil {
			e.Close()
			return nil, err
		}
		e.loops = append(e.loops, l)
		e.wg.Go(l.run)
	}
	return e, nil
}

// Close ends the loops and waits for them.
func (e *Engine) Close() {
	for _, l := range e.loops {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
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
