package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkHandshake is the CPU time of both ends of one handshake, in an event loop and with a goroutine for each.
func BenchmarkHandshake(b *testing.B) {
	for _, kind := range []string{"loop", "goroutine"} {
		for _, resumed := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/resumed=%t", kind, resumed), func(b *testing.B) {
				server, client := serverAndClient(b)
				client.CurvePreferences = []tls.CurveID{tls.X25519}
				address, stop := serveHandshakes(b, kind, server)
				defer stop()
				b.ResetTimer()
				before := cpuTime()
				b.SetParallelism(8)
				b.RunParallel(func(p *testing.PB) {
					client := client.Clone()
					if resumed {
						client.ClientSessionCache = tls.NewLRUClientSessionCache(1)
					}
					for p.Next() {
						visit(b, address, client)
					}
				})
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/1000, "cpu-us/op")
			})
		}
	}
}

func visit(b *testing.B, address string, client *tls.Config) {
	c, err := tls.Dial("tcp", address, client)
	if err != nil {
		b.Error(err)
		return
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		b.Error(err)
	}
	_ = c.Close()
}

func serveHandshakes(b *testing.B, kind string, config *tls.Config) (string, func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	if kind == "goroutine" {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					s := tls.Server(c, config)
					_, _ = s.Write([]byte("x"))
					_ = s.Close()
				}()
			}
		}()
		return l.Addr().String(), func() { _ = l.Close() }
	}
	file, _ := l.(*net.TCPListener).File()
	lfd, _ := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	_ = unix.SetNonblock(lfd, true)
	_ = file.Close()
	_ = l.Close()
	hs := newHandshakes(runtime.GOMAXPROCS(0))
	stop := make(chan struct{})
	ended := make(chan struct{})
	go serveLoop(lfd, hs, config, stop, ended)
	return l.Addr().String(), func() { close(stop); <-ended; hs.stop() }
}

func serveLoop(lfd int, hs *handshakes, config *tls.Config, stop, ended chan struct{}) {
	defer close(ended)
	epfd, _ := unix.EpollCreate1(0)
	wake, _ := unix.Eventfd(0, unix.EFD_NONBLOCK)
	add := func(fd int, events uint32) {
		_ = unix.EpollCtl(epfd, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	}
	add(lfd, unix.EPOLLIN)
	add(wake, unix.EPOLLIN)
	under := map[int32]*handshake{}
	type over struct {
		fd int32
		r  handshakeResult
	}
	results := make(chan over, 1000)
	var events [128]unix.EpollEvent
	var addr rawAddr
	for {
		select {
		case <-stop:
			return
		default:
		}
		n, _ := unix.EpollWait(epfd, events[:], 100)
		for _, e := range events[:max(n, 0)] {
			switch int(e.Fd) {
			case lfd:
				fd, errno := accept4(lfd, &addr)
				if errno != 0 {
					continue
				}
				under[fd] = hs.start(nil, fd, config, false, patience, func(r handshakeResult) {
					results <- over{fd, r}
					_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
				})
				add(int(fd), readEvents|unix.EPOLLOUT)
			case wake:
				_, _ = unix.Read(wake, make([]byte, 8))
				for len(results) > 0 {
					o := <-results
					delete(under, o.fd)
					if o.r.err == nil {
						_, _ = o.r.stream.write([]byte("x"))
						o.r.stream.closeNotify()
					}
					closeSocket(o.fd, false)
				}
			default:
				if h := under[e.Fd]; h != nil {
					h.ready(e.Events)
				}
			}
		}
	}
}

// BenchmarkTLSBulk is the CPU time of both ends per GB, received or sent in an event loop or by a goroutine.
func BenchmarkTLSBulk(b *testing.B) {
	for _, kind := range []string{"loop", "goroutine"} {
		for _, direction := range []string{"receive", "send"} {
			b.Run(kind+"/"+direction, func(b *testing.B) {
				server, client := serverAndClient(b)
				client.DynamicRecordSizingDisabled = true
				fd, far := tlsPair(b)
				_ = far.SetDeadline(time.Time{})
				c := tls.Client(far, client)
				go carry(c, direction == "receive")
				buffer := make([]byte, bufferSize)
				b.SetBytes(bufferSize)
				if kind == "goroutine" {
					file := os.NewFile(uintptr(fd), "")
					near, _ := net.FileConn(file)
					_ = file.Close()
					s := tls.Server(near, server)
					bulkByGoroutine(b, s, direction, buffer)
					return
				}
				hs := newHandshakes(2)
				l := newTLSLoop(b, fd)
				r := l.shake(hs, server, false)
				bulkInLoop(b, l, r.stream, direction, buffer)
				l.close()
			})
		}
	}
}

func carry(c *tls.Conn, send bool) {
	if !send {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, bufferSize))
		return
	}
	for p := make([]byte, bufferSize); ; {
		if _, err := c.Write(p); err != nil {
			return
		}
	}
}

func bulkByGoroutine(b *testing.B, s *tls.Conn, direction string, buffer []byte) {
	defer s.Close()
	before := cpuTime()
	for range b.N {
		var err error
		if direction == "send" {
			_, err = s.Write(buffer)
		} else {
			_, err = io.ReadFull(s, buffer)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/bufferSize, "cpu-s/GB")
}

func bulkInLoop(b *testing.B, l *tlsLoop, s *tlsStream, direction string, buffer []byte) {
	before := cpuTime()
	for n := 0; n < b.N*bufferSize; {
		var m int
		var errno syscall.Errno
		if direction == "send" {
			m, errno = s.write(buffer)
			if errno == 0 && s.pending() {
				errno = s.flush()
			}
		} else {
			m, errno = s.read(buffer)
		}
		n += m
		if errno == syscall.EAGAIN {
			l.wait()
			s.ready(false)
		} else if errno != 0 {
			b.Fatal(errno)
		}
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N)/bufferSize, "cpu-s/GB")
}

func cpuTime() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
