package proxy

import (
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// bufferSize is read at once, and what one direction holds at most when its receiver is slow.
	bufferSize = 16 << 10
	// A direction in which largePiece or more came at a time, for spliceAfter bytes in a row, is spliced: the bytes
	// stay in the kernel. For small pieces copying is cheaper than the detour through a pipe.
	largePiece  = 8 << 10
	spliceAfter = 64 << 10
	// turnBytes is how much one direction moves before other connections have their turn.
	turnBytes = 1 << 20
	// maxIdleBuffers of one loop wait for their next use.
	maxIdleBuffers = 64
)

// direction is the flow from one side to the other. It holds a buffer or a pipe only while its receiver does not take
// what has been read.
type direction struct {
	buffer *[bufferSize]byte
	from   int32 // buffer[from:to] is not written yet
	to     int32
	streak int32 // bytes in large pieces in a row
	done   bool  // the end was passed on
	pipe   *pipe
}

func (d *direction) pending() int {
	n := int(d.to - d.from)
	if d.pipe != nil {
		n += d.pipe.n
	}
	return n
}

// relay moves what can be moved, in both directions, and waits for more.
func (c *conn) relay() {
	for _, source := range [2]int{kindClient, kindMember} {
		if err := c.pump(source); err != 0 {
			_ = c.pump(1 - source) // what the other side said before it failed still counts
			c.fail()
			return
		}
	}
	if c.flows[kindClient].done && c.flows[kindMember].done {
		c.close(orderly)
		return
	}
	if !c.watchClient() {
		c.close(abort)
		return
	}
	c.loop.wheel.setBy(&c.timer, c.dueMs())
}

// watchClient asks for the events that are needed. Until the member is connected nothing is, and room for writing is of
// interest only to a client that was slow once; the member has all its events from its connect.
func (c *conn) watchClient() bool {
	s := &c.sides[kindClient]
	events := uint32(readEvents)
	if !s.writable {
		events |= unix.EPOLLOUT
	}
	if s.watched != 0 && s.watched|events == s.watched {
		return true
	}
	return c.watch(kindClient, events) == nil
}

// pump moves bytes from the side that is source to the other one until either is not ready.
func (c *conn) pump(source int) syscall.Errno {
	src, dst, d := &c.sides[source], &c.sides[1-source], &c.flows[source]
	if d.done {
		return 0
	}
	defer d.rest(c.loop)
	for moved := 0; ; {
		switch {
		case d.pending() > 0:
			if !dst.writable {
				return 0
			}
			if err := c.flush(dst, d); err != 0 {
				return err
			}
		case src.eof:
			d.done = true
			if !c.flows[1-source].done { // otherwise both are, and the close says it
				shutdownWrite(dst.fd)
			}
			return 0
		case !src.readable:
			return 0
		case moved >= turnBytes:
			c.queue()
			return 0
		default:
			n, err := c.fill(src, dst, d)
			if err != 0 {
				return err
			}
			moved += n
			c.counter(source).Add(uint64(n))
		}
	}
}

// queue has the loop continue this connection after the others.
func (c *conn) queue() {
	if !c.queued {
		c.queued = true
		c.loop.unread = append(c.loop.unread, c)
	}
}

func (c *conn) counter(source int) *atomic.Uint64 {
	if source == kindClient {
		return &c.listener.bytesIn
	}
	return &c.listener.bytesOut
}

// fill reads once from src. Bytes that were copied go straight on to dst; those in a pipe are left to flush.
func (c *conn) fill(src, dst *side, d *direction) (int, syscall.Errno) {
	switch {
	case src.urgent:
		d.release(c.loop) // nothing is pending; from now on this side is copied
	case d.streak >= spliceAfter && d.pipe == nil:
		d.pipe = c.loop.pipes.get()
	}
	var n int
	var errno syscall.Errno
	room := pipeSize
	if d.pipe != nil {
		n, errno = splice(src.fd, int32(d.pipe.w), pipeSize)
	} else {
		room = bufferSize
		n, errno = read(src.fd, c.loop.scratch[:])
	}
	if errno != 0 {
		return 0, src.readFailed(errno)
	}
	src.activeMs = c.loop.nowMs
	if n == 0 {
		src.eof = true
		return 0, 0
	}
	d.note(n)
	if d.pipe != nil {
		d.pipe.n = n
		return n, 0
	}
	if n < room && !src.hup && !src.urgent {
		src.readable = false // there was no more; what comes now is a new event
	}
	return n, c.pass(dst, d, c.loop.scratch[:n])
}

// note follows whether the flow is a bulk transfer.
func (d *direction) note(n int) {
	if n < largePiece {
		d.streak = 0
	} else {
		d.streak = min(d.streak+int32(n), spliceAfter)
	}
}

// pass writes to dst, and keeps in a buffer what dst does not take.
func (c *conn) pass(dst *side, d *direction, p []byte) syscall.Errno {
	for len(p) > 0 && dst.writable {
		n, errno := write(dst.fd, p)
		if errno != 0 {
			if err := dst.writeFailed(errno); err != 0 {
				return err
			}
			continue
		}
		dst.activeMs = c.loop.nowMs
		p = p[n:]
	}
	if len(p) > 0 {
		d.buffer = c.loop.freeBuffer()
		d.from, d.to = 0, int32(copy(d.buffer[:], p))
	}
	return 0
}

// flush writes once what is pending.
func (c *conn) flush(dst *side, d *direction) syscall.Errno {
	var n int
	var errno syscall.Errno
	if d.buffer != nil {
		n, errno = write(dst.fd, d.buffer[d.from:d.to])
	} else {
		n, errno = splice(int32(d.pipe.r), dst.fd, d.pipe.n)
	}
	if errno != 0 {
		return dst.writeFailed(errno)
	}
	dst.activeMs = c.loop.nowMs
	if d.buffer == nil {
		d.pipe.n -= n
	} else if d.from += int32(n); d.from == d.to {
		d.release(c.loop) // what is read next may go through a pipe
	}
	return 0
}

// readFailed makes "nothing there" a state and leaves only real errors.
func (s *side) readFailed(errno syscall.Errno) syscall.Errno {
	switch errno {
	case syscall.EAGAIN:
		s.readable = false
		return 0
	case syscall.EINTR:
		return 0
	}
	return errno
}

func (s *side) writeFailed(errno syscall.Errno) syscall.Errno {
	switch errno {
	case syscall.EAGAIN:
		s.writable = false
		return 0
	case syscall.EINTR:
		return 0
	}
	return errno
}

// rest gives back the buffer and the pipe if they are empty.
func (d *direction) rest(l *loop) {
	if d.pending() == 0 {
		d.release(l)
	}
}

// release gives back the buffer and the pipe with whatever is in them.
func (d *direction) release(l *loop) {
	if d.buffer != nil {
		l.keepBuffer(d.buffer)
		d.buffer, d.from, d.to = nil, 0, 0
	}
	if d.pipe != nil {
		l.pipes.put(d.pipe)
		d.pipe = nil
	}
}

func (l *loop) freeBuffer() *[bufferSize]byte {
	n := len(l.idleBuffers)
	if n == 0 {
		return new([bufferSize]byte)
	}
	b := l.idleBuffers[n-1]
	l.idleBuffers = l.idleBuffers[:n-1]
	return b
}

func (l *loop) keepBuffer(b *[bufferSize]byte) {
	if len(l.idleBuffers) < maxIdleBuffers {
		l.idleBuffers = append(l.idleBuffers, b)
	}
}
