package acceptance

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/testhost"
)

const (
	// probeDelay is the guide's --delay.
	probeDelay = 10 * time.Second
	// leastGap is what must lie between two connection attempts that are both probes. Any attempt between two probes
	// would be closer than half a delay to one of them.
	leastGap = probeDelay * 6 / 10
	// probes is for how many probes the stopped server is watched.
	probes = 2
	// pace is the pause between two requests.
	pace = 20 * time.Millisecond
)

// lookAtStoppedServer sends requests while the first server is in ERROR, and watches which connection attempts reach it,
// from one probe of the health monitor to a later one: nothing but probes may.
func (h *host) lookAtStoppedServer() {
	h.t.Helper()
	attempts := h.watchAttempts()
	next := time.NewTicker(pace)
	defer next.Stop()
	requests := 0
	last := time.Time{}
	for seen := 0; seen < probes || requests < many; { // a busy machine sends few requests between two probes
		select {
		case at := <-attempts:
			if gap := at.Sub(last); seen > 0 && gap < leastGap {
				h.t.Fatalf("a connection attempt reached the stopped server %s after a probe, at request %d", gap, requests)
			}
			last = at
			seen++
		case <-next.C:
			if server, err := h.fetch(); server != "srv-lbaas-2" || err != nil {
				h.t.Fatalf("request %d: %s, %v, want srv-lbaas-2", requests+1, server, err)
			}
			requests++
		}
		if !last.IsZero() && time.Since(last) > 2*probeDelay {
			h.t.Fatalf("the last probe was %s ago", time.Since(last))
		}
	}
	h.t.Logf("of %d requests none reached the stopped server, only probes did", requests)
}

// watchAttempts tells the time of every TCP connection attempt that arrives at the first server's port, until the test
// ends.
func (h *host) watchAttempts() <-chan time.Time {
	h.t.Helper()
	socket, err := packetSocket(h.namespaceOfServer())
	if err != nil {
		h.t.Fatal("packet socket:", err)
	}
	member := netip.AddrPortFrom(netip.MustParseAddr(h.place.Member()), 61234)
	attempts := make(chan time.Time, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 2048)
		for {
			n, err := socket.Read(packet)
			if err != nil {
				return
			}
			if isAttempt(packet[:n], member) {
				attempts <- time.Now()
			}
		}
	}()
	h.t.Cleanup(func() {
		_ = socket.Close()
		<-done
	})
	return attempts
}

// namespaceOfServer is where the first server's network is, "" for the host.
func (h *host) namespaceOfServer() string {
	h.t.Helper()
	inode := h.run("poise lab exec srv-lbaas-1 -- stat -L -c %i /proc/self/ns/net")
	for _, name := range namespaceNames(h) {
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(testhost.NamespaceDir, name), &stat); err != nil {
			h.t.Fatal(err)
		}
		if strconv.FormatUint(stat.Ino, 10) == inode {
			return name
		}
	}
	return ""
}

// packetSocket hears the IPv4 packets that arrive in a namespace.
func packetSocket(namespace string) (*os.File, error) {
	type result struct {
		fd  int
		err error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		fd := -1
		err := enter(namespace)
		if err == nil {
			fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(swap(unix.ETH_P_IP)))
		}
		made <- result{fd, err}
	}()
	r := <-made
	if r.err != nil {
		return nil, r.err
	}
	return os.NewFile(uintptr(r.fd), "packets"), nil
}

func enter(namespace string) error {
	space, err := testhost.OpenNamespace(namespace)
	if err != nil {
		return err
	}
	defer space.Close()
	return unix.Setns(int(space), unix.CLONE_NEWNET)
}

// swap turns a number into network byte order.
func swap(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// isAttempt tells the first packet of a TCP connection to an address (RFC 791, RFC 9293): SYN without ACK.
func isAttempt(packet []byte, to netip.AddrPort) bool {
	const synAck = 0x12
	if len(packet) < 20 || packet[0]>>4 != 4 || packet[9] != unix.IPPROTO_TCP {
		return false
	}
	segment := packet[min(int(packet[0]&0xf)*4, len(packet)):]
	if len(segment) < 20 {
		return false
	}
	destination := netip.AddrPortFrom(netip.AddrFrom4([4]byte(packet[16:20])), binary.BigEndian.Uint16(segment[2:4]))
	return destination == to && segment[13]&synAck == 0x02
}
