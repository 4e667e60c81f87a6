package proxy

import (
	"container/list"
	"crypto/tls"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxHandshakes are under way at once; each has a goroutine and some 30 kB.
	maxHandshakes = 4096
	// maxWaitingHandshakes wait for one of those to end, those of one load balancer in the order in which they came. Further ones fail.
	maxWaitingHandshakes = 16384
	// crowdPatience is how long a handshake may be under way while others wait: then it makes room. However many clients say hello and
	// no more, as many of them as may be under way are out of the way each time it ends.
	crowdPatience = 2 * time.Second
)

var (
	errHandshakeCrowd    = errors.New("too many TLS handshakes at once")
	errHandshakeCanceled = errors.New("TLS handshake canceled")
)

// handshakes runs the TLS handshakes of an engine. crypto/tls wants a goroutine for each, as it calculates and waits in turns;
// afterwards the connection goes back to its loop.
//
// As many handshakes calculate at once as there are processors, whatever waits behind them: loops share the processors with
// them, and must not wait behind a crowd.
type handshakes struct {
	processors  processors
	most        int           // maxHandshakes; tests have fewer
	mostWaiting int           // maxWaitingHandshakes
	patience    time.Duration // crowdPatience
	wg          sync.WaitGroup

	mu       sync.Mutex // guards what follows
	stopped  bool
	all      map[*handshake]struct{} // from start until done was called
	shares   map[any]*share          // all, by load balancer
	underWay list.List               // of *handshake, those with a goroutine, in the order in which they began
	waiting  int                     // in all shares
	room     *time.Timer             // makes room for them; nil while none waits
}

// handshake is one of them. Its descriptor stays its loop's.
type handshake struct {
	owner  *handshakes
	holder any    // the load balancer
	share  *share // likewise
	socket *tlsSocket
	conn   *tls.Conn
	done   func(handshakeResult)
	timer  *time.Timer
	events chan struct{} // holds one: epoll has reported something, or the end has come
	ending atomic.Pointer[error]
	place  *list.Element // in underWay, or where its share waits; nil before it begins. Guarded by the owner's mu.
	began  time.Time     // likewise
	heard  bool          // ready was called; belongs to the loop
}

// handshakeResult is what became of a handshake: a stream, or an error.
type handshakeResult struct {
	stream *tlsStream
	err    error
}

func newHandshakes(most int) *handshakes {
	return &handshakes{
		processors: processors{free: most},
		most:       maxHandshakes, mostWaiting: maxWaitingHandshakes, patience: crowdPatience,
		all: map[*handshake]struct{}{}, shares: map[any]*share{},
	}
}

// start prepares a handshake of a load balancer on a connected socket, as its client or its server. A server's begins with the first event that
// the loop reports by ready, so that a client which says nothing costs no goroutine; a client's begins at once.
//
// done is called once, from another goroutine, also after cancel and stop; until then the descriptor must stay open. Time is
// counted from the start.
func (hs *handshakes) start(holder any, fd int32, config *tls.Config, isClient bool, timeout time.Duration, done func(handshakeResult)) *handshake {
	h := &handshake{owner: hs, holder: holder, done: done, events: make(chan struct{}, 1)}
	h.socket = &tlsSocket{fd: fd, handshake: h}
	if isClient {
		h.conn = tls.Client(h.socket, config)
	} else {
		h.conn = tls.Server(h.socket, config)
	}
	hs.mu.Lock()
	defer hs.mu.Unlock()
	hs.wg.Add(1)
	hs.all[h] = struct{}{}
	h.share = hs.shareOf(holder)
	h.timer = time.AfterFunc(timeout, func() { h.end(os.ErrDeadlineExceeded) })
	switch {
	case hs.stopped:
		hs.end(h, errHandshakeCanceled)
	case isClient:
		h.heard = true
		hs.begin(h)
	}
	return h
}

// ready hears what epoll has reported about the descriptor. The loop calls it.
func (h *handshake) ready(events uint32) {
	if !h.heard && events&^unix.EPOLLOUT == 0 {
		return // the client may speak, and has said nothing
	}
	h.wake()
	if !h.heard {
		h.heard = true
		h.owner.mu.Lock()
		defer h.owner.mu.Unlock()
		h.owner.begin(h)
	}
}

// cancel ends the handshake soon.
func (h *handshake) cancel() { h.end(errHandshakeCanceled) }

func (h *handshake) wake() {
	select {
	case h.events <- struct{}{}:
	default: // it will see the earlier one
	}
}

// begin gives a goroutine to h, or has it wait. The caller holds mu, as for whatever has no lock of its own here.
func (hs *handshakes) begin(h *handshake) {
	switch {
	case h.ending.Load() != nil: // its end is on the way
	case hs.underWay.Len() < hs.most:
		hs.run(h)
	case hs.makeQueueRoom(h.share):
		h.place = h.share.waiting.PushBack(h)
		hs.waiting++
		hs.giveWay(h.share)
		hs.makeRoom()
	default:
		hs.end(h, errHandshakeCrowd)
	}
}

func (hs *handshakes) run(h *handshake) {
	h.began = time.Now()
	h.place = hs.underWay.PushBack(h)
	h.share.underWay++
	go h.run()
}

// makeRoom ends handshakes that had their time, for those who wait.
func (hs *handshakes) makeRoom() {
	wanted := hs.waiting
	for at := hs.underWay.Front(); at != nil && wanted > 0; at = at.Next() {
		h := at.Value.(*handshake)
		if left := hs.patience - time.Since(h.began); left > 0 {
			hs.makeRoomIn(left)
			return
		}
		hs.end(h, errHandshakeCrowd)
		wanted--
	}
	if hs.waiting > 0 { // others follow those that are about to end
		hs.makeRoomIn(hs.patience)
	}
}

func (hs *handshakes) makeRoomIn(pause time.Duration) {
	if hs.room != nil || hs.stopped {
		return
	}
	hs.room = time.AfterFunc(pause, func() {
		hs.mu.Lock()
		defer hs.mu.Unlock()
		hs.room = nil
		hs.makeRoom()
	})
}

func (h *handshake) end(reason error) {
	h.owner.mu.Lock()
	defer h.owner.mu.Unlock()
	h.owner.end(h, reason)
}

// end ends a handshake for that reason; one that has no goroutine gets one for it.
func (hs *handshakes) end(h *handshake, reason error) {
	if _, known := hs.all[h]; !known || !h.ending.CompareAndSwap(nil, &reason) {
		return
	}
	h.wake()
	if !h.began.IsZero() {
		h.share.underWay--
		return
	}
	hs.stopWaiting(h)
	go h.finish(handshakeResult{err: reason})
}

func (hs *handshakes) stopWaiting(h *handshake) {
	if h.place != nil {
		h.share.waiting.Remove(h.place)
		hs.waiting--
		h.place = nil
	}
}

// run is the handshake.
func (h *handshake) run() {
	h.owner.processors.take(h.share)
	err := h.conn.Handshake()
	h.owner.processors.give()
	if reason := h.ending.Load(); reason != nil {
		err = *reason
	}
	if err != nil {
		h.finish(handshakeResult{err: err})
		return
	}
	h.finish(handshakeResult{stream: newTLSStream(h.conn, h.socket)})
}

// wait lets others calculate until something happens to the descriptor.
func (h *handshake) wait() error {
	h.owner.processors.give()
	<-h.events
	h.owner.processors.take(h.share)
	if reason := h.ending.Load(); reason != nil {
		return *reason
	}
	return nil
}

// finish makes room for the next one, and says how it ended.
func (h *handshake) finish(result handshakeResult) {
	hs := h.owner
	h.timer.Stop()
	hs.mu.Lock()
	delete(hs.all, h)
	if h.place != nil {
		hs.underWay.Remove(h.place)
		if h.ending.Load() == nil {
			h.share.underWay--
		}
	}
	hs.leaveShare(h)
	if next := hs.next(); next != nil && hs.underWay.Len() < hs.most {
		hs.stopWaiting(next)
		hs.run(next)
	}
	hs.mu.Unlock()
	h.done(result)
	hs.wg.Done()
}

// stop ends all handshakes and waits until each has called its done. Later ones end at once.
func (hs *handshakes) stop() {
	hs.mu.Lock()
	hs.stopped = true
	if hs.room != nil {
		hs.room.Stop()
	}
	for h := range hs.all {
		hs.end(h, errHandshakeCanceled)
	}
	hs.mu.Unlock()
	hs.wg.Wait()
}
