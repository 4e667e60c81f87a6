package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"testing"

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
				under[fd] = hs.start(fd, config, false, patience, func(r handshakeResult) {
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

func cpuTime() int64 {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}
