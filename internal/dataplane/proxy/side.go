package proxy

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// readEvents are those after which there is something to read.
const readEvents = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLPRI | unix.EPOLLET

// side is one socket of a connection. Readiness is edge-triggered: it holds until a call says otherwise.
type side struct {
	activeMs int64 // when bytes last came from there or went there; while connecting, since when
	fd       int32 // -1: none
	watched  uint32
	readable bool
	writable bool
	hup      bool // the peer has closed or reset: read on until the end
	urgent   bool // the peer has sent an urgent byte: a read ends before it, and a splice never gets past it
	eof      bool // the end was read
}

// broken are the events after which a socket carries nothing any more.
const broken = unix.EPOLLERR | unix.EPOLLHUP

// note takes what epoll says.
func (s *side) note(events uint32) {
	if events&(unix.EPOLLRDHUP|broken) != 0 {
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
}

// read reads once. Without an error, 0 bytes are the end (eof) or mean that nothing is there yet (not readable).
func (s *side) read(l *loop, p []byte) (int, syscall.Errno) {
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

// took notes that n bytes were read; none are the end.
func (s *side) took(l *loop, n int) {
	s.activeMs = l.nowMs
	s.eof = n == 0
}

// write writes once. Without an error, 0 bytes mean that there is no room (not writable).
func (s *side) write(l *loop, p []byte) (int, syscall.Errno) {
	n, errno := write(s.fd, p)
	if errno != 0 {
		return 0, s.writeFailed(errno)
	}
	s.activeMs = l.nowMs
	return n, 0
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
