package proxy

import "syscall"

const (
	// bufferSize is read at once, and what one direction of a relay holds at most when its receiver is slow.
	bufferSize = 16 << 10
	// A direction in which largePiece or more came at a time, for spliceAfter bytes in a row, is spliced: the bytes
	// stay in the kernel. For small pieces copying is cheaper than the detour through a pipe.
	largePiece  = 8 << 10
	spliceAfter = 64 << 10
	// turnBytes is how much one direction moves before other connections have their turn: with hundreds of busy ones, that turn is what
	// everybody else waits for. One splice may move more.
	turnBytes = 256 << 10
	// maxIdleBuffers of one loop wait for their next use.
	maxIdleBuffers = 64
)

// direction is the flow from one side to the other. It holds a buffer or a pipe only while its receiver does not take
// what has been read.
type direction struct {
	buffer []byte // buffer[from:] is not written yet
	from   int32
	streak int32 // bytes in large pieces in a row
	done   bool  // the end was passed on
	pipe   *pipe
}

func (d *direction) pending() int {
	n := len(d.buffer) - int(d.from)
	if d.pipe != nil {
		n += d.pipe.n
	}
	return n
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
func (d *direction) pass(l *loop, dst *side, p []byte) syscall.Errno {
	if len(d.buffer) > 0 {
		d.buffer = append(d.buffer, p...)
		return 0
	}
	for len(p) > 0 && dst.writable {
		n, err := dst.write(l, p)
		if err != 0 {
			return err
		}
		p = p[n:]
	}
	if len(p) > 0 {
		d.hold(l, p)
	}
	return 0
}

// hold keeps a copy of p for later.
func (d *direction) hold(l *loop, p []byte) {
	d.buffer = append(l.freeBuffer(), p...)
	d.from = 0
}

// bulk moves up to n bytes from src into a pipe, for flush to move on; none without an error are none ready, or the end.
func (d *direction) bulk(l *loop, src *side, n int) (int, syscall.Errno) {
	moved, errno := splice(src.fd, int32(d.pipe.w), n)
	if errno != 0 {
		return 0, src.readFailed(errno)
	}
	src.took(l, moved)
	d.note(moved)
	d.pipe.n = moved
	return moved, 0
}

// flush writes once what is pending.
func (d *direction) flush(l *loop, dst *side) syscall.Errno {
	if len(d.buffer) > 0 {
		n, err := dst.write(l, d.buffer[d.from:])
		if d.from += int32(n); int(d.from) == len(d.buffer) {
			d.release(l) // what is read next may go through a pipe
		}
		return err
	}
	n, errno := splice(int32(d.pipe.r), dst.fd, d.pipe.n)
	if errno != 0 {
		return dst.writeFailed(errno)
	}
	dst.activeMs = l.nowMs
	d.pipe.n -= n
	return 0
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
		d.buffer, d.from = nil, 0
	}
	if d.pipe != nil {
		l.pipes.put(d.pipe)
		d.pipe = nil
	}
}

// freeBuffer is empty and has room for bufferSize bytes.
func (l *loop) freeBuffer() []byte {
	n := len(l.idleBuffers)
	if n == 0 {
		return make([]byte, 0, bufferSize)
	}
	b := l.idleBuffers[n-1]
	l.idleBuffers = l.idleBuffers[:n-1]
	return b[:0]
}

// keepBuffer keeps a buffer for its next use, unless it has grown.
func (l *loop) keepBuffer(b []byte) {
	if cap(b) == bufferSize && len(l.idleBuffers) < maxIdleBuffers {
		l.idleBuffers = append(l.idleBuffers, b)
	}
}
