package datagram

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
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

// Descriptors are what the data plane may have of the process's file descriptors.
type Descriptors interface {
	// Take reserves n of them, all or none.
	Take(n int64) bool
	// Give gives n of them back.
	Give(n int64)
}

// Engine runs the event loops that carry the datagrams of every load balancer of this process.
type Engine struct {
	files Descriptors
	limit int64 // flows that may have a descriptor; each loop has its part
	loops []*loop
	wg    sync.WaitGroup
}

// StartEngine starts one event loop for each processor. The caller closes the engine after the servers that use it.
func StartEngine(files Descriptors) (*Engine, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	e := &Engine{files: files, limit: int64(min(limit.Cur, 1<<30)) / descriptorShare}
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
	return nil
}

// Close ends the loops and waits for them.
func (e *Engine) Close() {
	for _, l := range e.loops {
		l.post(func() { l.stopping = true })
	}
	e.wg.Wait()
}

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
