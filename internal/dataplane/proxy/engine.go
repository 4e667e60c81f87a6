package proxy

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// The engine leaves descriptors of the process to others: to clients of the APIs a sixteenth of all (rest.MaxConnections),
// and to databases and health checks descriptorReserve.
const (
	apiShare          = 16
	descriptorReserve = 1000
)

// Engine runs the event loops that carry the connections of every load balancer of this process.
type Engine struct {
	loops      []*loop
	budget     *budget
	handshakes *handshakes
	wg         sync.WaitGroup
	processors int // GOMAXPROCS before the engine; 0: it was left alone
}

// StartEngine starts one event loop for each processor that Go may use, and lets Go use one more, virtual, processor
// until the engine is closed. A loop at work makes system calls past Go's scheduler and so keeps its processor: with none to
// spare, goroutines wait for up to 10 ms behind busy loops, and the scheduler's monitor wakes every 20 µs to take
// processors from loops that wait (5 % of the CPU time of short connections).
//
// The caller closes the engine after the servers that use it.
func StartEngine(log *slog.Logger) (*Engine, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	files := int64(min(limit.Cur, 1<<30))
	available := max(files-files/apiShare-descriptorReserve, files/2)
	processors := runtime.GOMAXPROCS(0)
	e, err := startEngine(newBudget(available, log), processors)
	if err != nil {
		return nil, err
	}
	e.processors = processors
	runtime.GOMAXPROCS(processors + 1)
	return e, nil
}

func startEngine(b *budget, loops int) (*Engine, error) {
	e := &Engine{budget: b, handshakes: newHandshakes(loops)}
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
	e.handshakes.stop()
	for _, l := range e.loops {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
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

// Take reserves descriptors of the engine's budget for others that carry traffic, all or none; Give gives them back. They are
// what datagram.Descriptors wants.
func (e *Engine) Take(n int64) bool { return e.budget.take(n) }

// Give gives descriptors back.
func (e *Engine) Give(n int64) { e.budget.give(n) }
