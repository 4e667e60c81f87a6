package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readEvents are those after which there is something to read.
const readEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET

// broken are the events after which a socket carries nothing any more.
const broken = unix.EPOLLERR | unix.EPOLLHUP

// side is one socket of a connection. Readiness is edge-triggered: it holds until a call says otherwise.
type side struct {
	activeMs int64  // when bytes last came from there or went there; while connecting, since when
	stream   stream // nil: plaintext
	fd       int32  // -1: none
	watched  uint32
	readable bool
	writable bool
	hup      bool // the peer has closed or reset: read on until the end
	urgent   bool // the peer has sent an urgent byte: a read ends before it, and a splice never gets past it
	eof      bool // the end was read
	shut     bool // our end was said, though ciphertext may wait before it
}

// stream is what stands between a side and its socket: TLS, or HTTP/2, of whose connection a stream is one. [tlsStream] says what the methods
// do.
type stream interface {
	ready(ended bool)
	read(p []byte) (int, syscall.Errno)
	write(p []byte) (int, syscall.Errno)
	flush() syscall.Errno
	pending() bool
	truncated() bool
	closeNotify()
	release()
}

// note takes what epoll says.
func (s *side) note(events uint32) {
	ended := events&(unix.EPOLLRDHUP|broken) != 0
	if ended {
		s.readable, s.hup = true, true
	}
	if events&unix.EPOLLIN != 0 {
		s.readable = true
	}
	if events&unix.EPOLLPRI != 0 {
		s.readable, s.urgent = true, true
	}
	if events&(unix.EPOLLOUT|broken) != 0 {
		s.writable = true
	}
	if s.stream != nil {
		s.stream.ready(ended)
		s.flushStream()
	}
}

// flushStream sends ciphertext that waits; as long as some does, nothing else can be written.
func (s *side) flushStream() {
	if !s.stream.pending() {
		return
	}
	if errno := s.stream.flush(); errno != 0 {
		s.writable = errno != syscall.EAGAIN // what failed fails again, and tells
		return
	}
	if s.shut {
		shutdownWrite(s.fd)
	}
}

// waits says that ciphertext waits for the peer to take it.
func (s *side) waits() bool { return s.stream != nil && s.stream.pending() && !s.hup }

// truncated says, at the end, that TLS did not end with it: somebody else may have ended the connection.
func (s *side) truncated() bool { return s.stream != nil && s.stream.truncated() }

// read reads once. Without an error, 0 bytes are the end (eof) or mean that nothing is there yet (not readable).
func (s *side) read(l *loop, p []byte) (int, syscall.Errno) {
	if s.stream != nil {
		return s.readStream(l, p)
	}
	n, errno := read(s.fd, p)
	if errno != 0 {
		return 0, s.readFailed(errno)
	}
	s.took(l, n)
	if n < len(p) && !s.hup && !s.urgent {
		s.readable = false // there was no more; what comes now is a new event
	}
	return n, 0
}

func (s *side) readStream(l *loop, p []byte) (int, syscall.Errno) {
	n, errno := s.stream.read(p)
	if s.stream.pending() { // TLS has answered by itself
		s.writable = false
	}
	if errno != 0 {
		return 0, s.readFailed(errno)
	}
	s.took(l, n)
	return n, 0
}

// silent says that nothing is there to be read, not even the end.
func (s *side) silent() bool {
	switch {
	case s.hup:
		return false
	case s.stream != nil:
		var p [1]byte
		n, errno := s.stream.read(p[:])
		return n == 0 && errno == syscall.EAGAIN
	}
	return !s.readable || isSilent(s.fd)
}

// took notes that n bytes were read; none are the end.
func (s *side) took(l *loop, n int) {
	s.activeMs = l.nowMs
	s.eof = n == 0
}

// write writes once. Without an error, 0 bytes mean that there is no room (not writable).
func (s *side) write(l *loop, p []byte) (int, syscall.Errno) {
	var n int
	var errno syscall.Errno
	if s.stream != nil {
		n, errno = s.stream.write(p)
		s.writable = n == len(p) && !s.stream.pending()
	} else {
		n, errno = write(s.fd, p)
	}
	if errno != 0 {
		return 0, s.writeFailed(errno)
	}
	s.activeMs = l.nowMs
	return n, 0
}

// shutdown says that nothing more will be written.
func (s *side) shutdown() {
	s.shut = true
	if s.stream != nil {
		s.stream.closeNotify()
		if s.stream.pending() {
			s.writable = false
			return
		}
	}
	shutdownWrite(s.fd)
}

// close gives the socket back; with reset the peer gets a RST and nothing lingers.
func (s *side) close(how manner) {
	if s.stream != nil {
		if how == orderly && !s.shut {
			s.stream.closeNotify()
		}
		s.stream.release()
	}
	if s.fd >= 0 {
		closeSocket(s.fd, bool(how))
	}
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

// watch asks for events, which come with the token of the side's owner.
func (s *side) watch(l *loop, events uint32, kind int, place uint32, generation int32) error {
	op := unix.EPOLL_CTL_ADD
	if s.watched != 0 {
		op = unix.EPOLL_CTL_MOD
	}
	s.watched = events
	return l.watch(op, int(s.fd), events, kind, place, generation)
}

// needs are the events that are missing. Room for writing is of interest only to a peer that was slow once.
func (s *side) needs() uint32 {
	if s.fd < 0 {
		return 0
	}
	events := uint32(readEvents)
	if !s.writable {
		events |= unix.EPOLLOUT
	}
	if s.watched != 0 && s.watched|events == s.watched {
		return 0
	}
	return events
}

// unwatch keeps what still happens to a socket from being taken for what happens to its successor. Closing it is not
// always enough: a process being started holds a copy for a moment.
func (s *side) unwatch(l *loop) {
	if s.watched != 0 {
		_ = l.watch(unix.EPOLL_CTL_DEL, int(s.fd), 0, 0, 0, 0)
		s.watched = 0
	}
}
