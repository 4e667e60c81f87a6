package proxy

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane/accesslog"
	"poise/internal/dataplane/h2"
)

const (
	eventsPerWait = 128
	// starvedRetryMs is how long accepting rests when there was no descriptor left.
	starvedRetryMs = 100
)

// loop is one event loop: an epoll instance and the goroutine that waits for it. What it holds belongs to that
// goroutine alone; everybody else posts functions to it.
type loop struct {
	engine *Engine
	index  int // among the engine's loops
	epfd   int
	wakefd int // an eventfd: something was posted

	conns         table[conn]
	sessions      table[session]
	http2s        table[http2Conn]
	upstreams     table[upstream]
	listeners     table[socket]
	wheel         wheel
	pipes         pipePool
	idleConns     []*conn
	idle          idlePool
	keptSessions  []*session
	keptExchanges []*exchange
	keptUpstreams []*upstream
	keptStreams   []*http2Stream
	request2      h2.Request  // the one by HTTP/2 whose fields are being read
	trailers2     h2.Trailers // likewise
	idleBuffers   [][]byte
	nowMs         int64     // since the process started, as of the last wait
	nowNs         int64     // the same
	chargedNs     int64     // until when time is counted as used by a load balancer, as nowNs
	round         uint64    // counts waits
	busy          []*Server // those that have something waiting for the next round
	spareBusy     []*Server // memory for the next list
	routings      routings
	starved       []*listener
	short         []*session // whose next request waits for a descriptor
	hands         hands
	retryMs       int64 // when those in starved and short try again
	load          atomic.Int64

	events   [eventsPerWait]unix.EpollEvent
	scratch  [bufferSize]byte // what was just read; only what cannot be written at once moves to a buffer
	message  []byte           // what is written next, where it is not what was read
	addr     rawAddr          // of the accept or connect at hand
	stopping bool

	mu     sync.Mutex // guards posted and closed
	posted []func()
	closed bool
}

var processStart = time.Now()

// The kinds of descriptors that a loop waits for; an event carries the kind, the place in the kind's table and the
// place's generation, by which an event for something that is gone already is told apart.
const (
	kindClient = iota
	kindMember
	kindListener
	kindWake
	kindSession
	kindUpstream
	kindHTTP2

	kindBits = 3
)

func token(kind int, place uint32, generation int32) (low, high int32) {
	return int32(place<<kindBits | uint32(kind)), generation
}

func newLoop(e *Engine, index int) (*loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	wakefd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(epfd)
		return nil, fmt.Errorf("event loop's wake-up: %w", err)
	}
	l := &loop{engine: e, index: index, epfd: epfd, wakefd: wakefd}
	l.pipes.descriptors = e.descriptors
	l.idle = idlePool{loop: l, lists: map[target]*idleList{}}
	l.message = make([]byte, 0, messageSize)
	l.tell()
	l.wheel.tick = l.nowMs / tickMs
	low, high := token(kindWake, 0, 0)
	err = unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, wakefd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: low, Pad: high})
	if err != nil {
		l.release()
		return nil, fmt.Errorf("event loop's wake-up: %w", err)
	}
	return l, nil
}

func (l *loop) run() {
	defer l.release()
	for !l.stopping {
		n := l.wait()
		l.tell()
		l.round++
		l.chargedNs = l.nowNs
		l.deliverHeld()
		for i := range n {
			e := &l.events[i]
			l.deliver(int(e.Fd&(1<<kindBits-1)), uint32(e.Fd)>>kindBits, e.Pad, e.Events)
		}
		l.goOn()
		l.routeOn()
		l.wheel.advance(l.nowMs)
		l.retryStarved()
	}
}

// tell looks at the clock.
func (l *loop) tell() {
	l.nowNs = int64(time.Since(processStart))
	l.nowMs = l.nowNs / int64(time.Millisecond)
}

// wait blocks until something is ready or due.
func (l *loop) wait() int {
	timeoutMs := l.wheel.waitMs(l.nowMs)
	if len(l.starved)+len(l.short) > 0 && (timeoutMs < 0 || timeoutMs > starvedRetryMs) {
		timeoutMs = starvedRetryMs
	}
	if len(l.busy)+len(l.routings.turns) > 0 {
		timeoutMs = 0
	}
	n, err := unix.EpollWait(l.epfd, l.events[:], int(timeoutMs))
	if err != nil { // EINTR; anything else would be a bug of this file
		return 0
	}
	return n
}

// deliver gives events to what they are of, with those that were kept, or keeps them for the next
// round.
func (l *loop) deliver(kind int, place uint32, generation int32, events uint32) {
	at := later{place, generation, kind}
	switch kind {
	case kindWake:
		l.runPosted()
		l.chargeNobody() // it is of several load balancers
	case kindListener:
		if s := l.listeners.at(place, generation); s != nil && !l.hasHadTurn(s.listener.server) { // epoll says it again
			l.accept(s)
		}
	case kindSession:
		if s := l.sessions.at(place, generation); s != nil && !l.hold(s.payer(), &s.held, at, events) {
			payer := s.payer()
			s.onEvent(events | takeHeld(&s.held))
			l.charge(payer)
		}
	case kindHTTP2:
		if c := l.http2s.at(place, generation); c != nil && !l.hold(c.payer(), &c.held, at, events) {
			payer := c.payer()
			c.onEvent(events | takeHeld(&c.held))
			l.charge(payer)
		}
	case kindUpstream:
		if u := l.upstreams.at(place, generation); u != nil && !l.hold(u.server, &u.held, at, events) {
			payer := u.server
			u.onEvent(events | takeHeld(&u.held))
			l.charge(payer)
		}
	default:
		if c := l.conns.at(place, generation); c != nil && !l.hold(c.payer(), &c.held[kind], at, events) {
			payer := c.payer()
			c.onEvent(kind, events|takeHeld(&c.held[kind]))
			l.charge(payer)
		}
	}
}

// retryStarved has those go on, after some time, who wait for descriptors.
func (l *loop) retryStarved() {
	if len(l.starved)+len(l.short) > 0 && l.nowMs >= l.retryMs {
		l.retry()
	}
}

// retrySoon is called before something is added to starved or short.
func (l *loop) retrySoon() {
	if len(l.starved)+len(l.short) == 0 {
		l.retryMs = l.nowMs + starvedRetryMs
	}
}

// retry has those go on at once.
func (l *loop) retry() {
	starved, short := l.starved, l.short
	l.starved, l.short = nil, nil
	for _, ln := range starved {
		ln.resume(pausedStarved)
	}
	for _, s := range short {
		s.waits = false
		if s.phase != gone {
			s.run()
		}
	}
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

// release ends what the loop holds. What was posted last is still run, so that nobody waits for it and no connection
// that was handed over is forgotten.
func (l *loop) release() {
	l.mu.Lock()
	l.closed = true
	posted := l.posted
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
	for c := range l.conns.all() {
		c.close(abort, accesslog.Stopped)
	}
	for c := range l.http2s.all() {
		c.close(abort, accesslog.Stopped)
	}
	for s := range l.sessions.all() {
		s.close(abort, accesslog.Stopped)
	}
	l.idle.dropAll()
	l.pipes.close()
	_ = unix.Close(l.wakefd)
	_ = unix.Close(l.epfd)
}

// watch adds or changes a descriptor in the loop's epoll instance. It may be called from any goroutine.
func (l *loop) watch(op, fd int, events uint32, kind int, place uint32, generation int32) error {
	low, high := token(kind, place, generation)
	event := unix.EpollEvent{Events: events, Fd: low, Pad: high}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(l.epfd), uintptr(op), uintptr(fd),
		uintptr(unsafe.Pointer(&event)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
