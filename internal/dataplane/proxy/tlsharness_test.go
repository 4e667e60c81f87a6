package proxy

import (
	"crypto/tls"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/testpki"
)

// tlsPair is a connection whose one end is a descriptor, as loops have them, and whose other end is a net.Conn.
func tlsPair(t testing.TB) (int32, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	_ = far.SetDeadline(time.Now().Add(patience))
	return descriptorOf(t, near.(*net.TCPConn)), far.(*net.TCPConn)
}

// descriptorOf takes a connection's descriptor away from Go.
func descriptorOf(t testing.TB, c *net.TCPConn) int32 {
	t.Helper()
	file, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	defer c.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	return int32(fd)
}

// tlsLoop drives one descriptor as an event loop does: with edge-triggered events.
type tlsLoop struct {
	t      testing.TB
	fd     int32
	epfd   int
	holder any // the load balancer; nil is one as well
}

func newTLSLoop(t testing.TB, fd int32) *tlsLoop {
	t.Helper()
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	event := unix.EpollEvent{Events: readEvents | unix.EPOLLOUT, Fd: fd}
	if err := unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, int(fd), &event); err != nil {
		t.Fatal(err)
	}
	return &tlsLoop{t: t, fd: fd, epfd: epfd}
}

func (l *tlsLoop) close() {
	_ = unix.Close(l.epfd)
	closeSocket(l.fd, false)
}

// wait is for the next events.
func (l *tlsLoop) wait() uint32 {
	var events [1]unix.EpollEvent
	for deadline := time.Now().Add(patience); ; {
		n, err := unix.EpollWait(l.epfd, events[:], 100)
		if n == 1 {
			return events[0].Events
		}
		if err != nil && err != syscall.EINTR {
			l.t.Fatal(err)
		}
		if time.Now().After(deadline) {
			l.t.Fatal("nothing happens")
		}
	}
}

// shake makes the handshake.
func (l *tlsLoop) shake(hs *handshakes, config *tls.Config, isClient bool) handshakeResult {
	results := make(chan handshakeResult, 1)
	h := hs.start(l.holder, l.fd, config, isClient, patience, func(r handshakeResult) { results <- r })
	var events [1]unix.EpollEvent
	for {
		select {
		case r := <-results:
			return r
		default:
		}
		if n, _ := unix.EpollWait(l.epfd, events[:], 1); n == 1 {
			h.ready(events[0].Events)
		}
	}
}

// echo sends back what comes, until the end; it returns why it ended.
func (l *tlsLoop) echo(s *tlsStream) syscall.Errno {
	buffer := make([]byte, bufferSize)
	for {
		n, errno := s.read(buffer)
		switch {
		case errno == syscall.EAGAIN:
			events := l.wait()
			s.ready(events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0)
			if errno := s.flush(); errno != 0 && errno != syscall.EAGAIN {
				return errno
			}
			continue
		case errno != 0 || n == 0:
			return errno
		}
		if errno := l.write(s, buffer[:n]); errno != 0 {
			return errno
		}
	}
}

// write waits until everything is written.
func (l *tlsLoop) write(s *tlsStream, p []byte) syscall.Errno {
	for len(p) > 0 || s.pending() {
		n, errno := s.write(p)
		p = p[n:]
		if errno == syscall.EAGAIN || errno == 0 && s.pending() {
			events := l.wait()
			s.ready(events&(unix.EPOLLRDHUP|unix.EPOLLHUP) != 0)
			errno = 0
			if e := s.flush(); e != syscall.EAGAIN {
				errno = e
			}
		}
		if errno != 0 {
			return errno
		}
	}
	return 0
}

// serverAndClient are configurations that go together.
func serverAndClient(t testing.TB) (server, client *tls.Config) {
	ca := testpki.NewAuthority(t, "ca")
	server = &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "", testpki.DNS("www.example.com")).TLS()}, DynamicRecordSizingDisabled: true}
	return server, &tls.Config{RootCAs: ca.Pool(), ServerName: "www.example.com"}
}
