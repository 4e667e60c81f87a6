package proxy

import (
	"crypto/tls"
	"net"
	"runtime"
	"testing"
)

const (
	idlePeers = 200 // connections over which memory is averaged
	// maxIdleTLS is what one may hold, in bytes: its ciphers' keys for both directions, [tls.Conn] itself, and the test's own net.Conn.
	maxIdleTLS = 5500
)

// An idle connection keeps what its ciphers need, and no buffers.
func TestTLSMemory(t *testing.T) {
	server, client := serverAndClient(t)
	for name, size := range map[string]int{"small": 100, "bulk": 1 << 20} {
		hs := newHandshakes(2)
		streams := make([]*tlsStream, idlePeers)
		fars := make([]*net.TCPConn, idlePeers)
		before := heap()
		for i := range streams {
			fd, far := tlsPair(t)
			l := newTLSLoop(t, fd)
			defer l.close()
			fars[i] = far
			go func() { _, _ = tls.Client(far, client).Write(make([]byte, size)) }()
			r := l.shake(hs, server, false)
			if r.err != nil {
				t.Fatal(r.err)
			}
			streams[i] = r.stream
			for buffer, n := make([]byte, bufferSize), 0; n < size; {
				m, errno := r.stream.read(buffer)
				if n += m; errno != 0 {
					r.stream.ready(false)
					runtime.Gosched()
				}
			}
		}
		hs.stop()
		if each := (heap() - before) / idlePeers; each > maxIdleTLS {
			t.Errorf("%s: an idle connection holds %d bytes", name, each)
		}
		runtime.KeepAlive(streams)
		runtime.KeepAlive(fars)
	}
}

// heap is what is in use, without what could be collected.
func heap() int64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}
