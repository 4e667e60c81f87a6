package datagram

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventsPerWait = 128
	// maxEndsPerTurn silent flows end before the loop looks at its sockets again.
	maxEndsPerTurn = 1024
)

// loop is one event loop: an epoll instance and the goroutine that waits for it. What it holds belongs to that
// goroutine alone, and so does all of the listeners that were given to it but their meters and logs; everybody else
// posts functions to it.
type loop struct {
	engine    *Engine
	listeners atomic.Int64 // how many were given to it
	epfd      int
	wakefd    int // an eventfd: something was posted

	limit    int64           // flows that may have a descriptor
	open     int64           // flows that have one
	inUse    int             // listeners that have flows
	ports    map[int32]*port // by descriptor
	flows    map[int32]*flow // by descriptor
	silent   order
	silence  int64 // that ends a flow, ms
	nowMs    int64 // since the process started, as of the last wait
	events   [eventsPerWait]unix.EpollEvent
	in       *batch // from clients
	out      *batch // to clients, all through outPort
	outPort  *port
	outCount int
	stopping bool

	mu     sync.Mutex // guards posted and closed
	posted []func()
	closed bool
}

var processStart = time.Now()

func sinceStartMs() int64 { return int64(time.Since(processStart) / time.Millisecond) }

// The kinds of descriptors that a loop waits for. An event names its descriptor. One for a flow that has ended meanwhile,
// in the same turn, finds nobody or a flow that got the same number; that one then has nothing to read.
const (
	kindWake = iota
	kindPort
	kindFlow
)

func newLoop(e *Engine, limit int64) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("event loop's wake-up: %w", err)
	}
	l := &loop{
		engine: e, epfd: epfd, wakefd: wakefd, limit: limit, nowMs: sinceStartMs(),
		ports: map[int32]*port{}, flows: map[int32]*flow{}, silent: order{of: inLoop}, silence: silence.Milliseconds(),
		in: newBatch(), out: newBatch(),
	}
	if err := l.watch(wakefd, kindWake); err != nil {
		_ = unix.Close(wakefd)
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("event loop's wake-up: %w", err)
	}
	return l, nil
}

func (l *loop) watch(fd, kind int) error {
	return unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: int32(kind)})
}

func (l *loop) run() {
	defer l.release()
	for !l.stopping {
		n, err := unix.EpollWait(l.epfd, l.events[:], l.waitMs())
		if err != nil { // EINTR; anything else would be a bug of this file
			n = 0
		}
		l.nowMs = sinceStartMs()
		for i := range n {
			l.dispatch(&l.events[i])
		}
		l.flush()
		l.endSilent()
	}
}

// waitMs is the time until the longest silent flow ends.
func (l *loop) waitMs() int {
	if l.silent.first == nil {
		return -1
	}
	return int(max(l.silent.first.lastMs+l.silence-l.nowMs, 0))
}

func (l *loop) dispatch(e *unix.EpollEvent) {
	switch e.Pad {
	case kindWake:
		l.flush() // what is posted may close sockets
		l.runPosted()
	case kindPort:
		if p := l.ports[e.Fd]; p != nil {
			p.readClients()
		}
	case kindFlow:
		if f := l.flows[e.Fd]; f != nil {
			f.readMember()
		}
	}
}

func (l *loop) endSilent() {
	for range maxEndsPerTurn {
		f := l.silent.first
		if f == nil || f.lastMs+l.silence > l.nowMs {
			return
		}
		f.end(f.silenceEnd())
	}
}

// take reserves the descriptor of one flow of that listener.
func (l *loop) take(ln *listener) bool {
	if l.open >= l.limit || !ln.server.files.TakeNew(1) {
		return false
	}
	l.open++
	return true
}

func (l *loop) give(ln *listener) {
	l.open--
	ln.server.files.Give(1)
}

// post has the loop run f soon. It says false, and f is not run, after the loop has ended.
func (l *loop) post(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.posted = append(l.posted, f)
	if len(l.posted) == 1 {
		var one [8]byte
		binary.NativeEndian.PutUint64(one[:], 1)
		_, _ = unix.Write(l.wakefd, one[:]) // fails only when the counter is at its highest: the loop is awake then
	}
	return true
}

// do has the loop run f and waits until it has. Loops must not call it.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	if l.post(func() { defer close(done); f() }) {
		<-done
	}
}

func (l *loop) runPosted() {
	var count [8]byte
	_, _ = unix.Read(l.wakefd, count[:])
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// release ends what the loop holds. What was posted last is still run, so that nobody waits for it.
func (l *loop) release() {
	l.mu.Lock()
	l.closed = true
	posted := l.posted
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
	_ = unix.Close(l.wakefd)
	_ = unix.Close(l.epfd)
}
