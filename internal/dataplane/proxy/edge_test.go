package proxy

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestUrgentByte sends an urgent byte (RFC 6093) amid a flow: the kernel ends reads before it, though there is more.
// The byte itself is left out, as the socket interface has it; all others arrive.
func TestUrgentByte(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after int
	}{
		{"in a small request", 10, 10},
		{"in a bulk transfer", 8 << 20, 8 << 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := make(chan int64, 1)
			bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
				n, _ := io.Copy(io.Discard, c)
				got <- n
			}))
			conn := bench.dial()
			_, _ = conn.Write(make([]byte, test.before))
			sendUrgent(t, conn)
			_, _ = conn.Write(make([]byte, test.after))
			_ = conn.CloseWrite()
			_, _ = conn.Read(make([]byte, 1))
			select {
			case n := <-got:
				if n != int64(test.before+test.after) {
					t.Errorf("the member got %d bytes", n)
				}
			default:
				t.Error("the transfer stands still")
				bench.server.Close()
				<-got
			}
		})
	}
}

func sendUrgent(t *testing.T, conn *net.TCPConn) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Write(func(fd uintptr) bool {
		return unix.Send(int(fd), []byte("!"), unix.MSG_OOB) != syscall.EAGAIN
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestResetAfterTheEndLosesNothing has a member that says all it has to say, ends, and resets its connection, while
// the client, who reads slowly, has got only a part.
func TestResetAfterTheEndLosesNothing(t *testing.T) {
	const size = 48 << 10
	reset := make(chan struct{})
	bench := newBench(t, serve(t, "a", func(c *net.TCPConn) {
		_, _ = c.Write(make([]byte, size))
		_ = c.CloseWrite()
		<-reset
		_ = c.SetLinger(0)
	}))
	conn := dialSmall(t, bench.addr())
	eventually(t, "the member's end is read", func() bool { return bench.counters().BytesOut == size })
	close(reset)
	eventually(t, "the connection ends", func() bool { return bench.counters().Active == 0 })
	if got, err := io.ReadAll(conn); err != nil || len(got) != size {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// dialSmall connects with a small receive buffer.
func dialSmall(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	dialer := net.Dialer{Timeout: patience, Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<10) })
	}}
	conn, err := dialer.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn.(*net.TCPConn)
}

// TestRemovedListenersAreForgotten adds and removes listeners for ever; their counters are kept for a while.
func TestRemovedListenersAreForgotten(t *testing.T) {
	bench := newBench(t, named(t, "a"))
	held := bench.dial()
	eventually(t, "the connection is there", func() bool { return bench.counters().Active == 1 })
	for i := range maxRemovedListeners + 50 {
		bench.config.Listeners[0].ID = fmt.Sprint("listener ", i)
		bench.apply()
	}
	counters := bench.server.Counters()
	if n := len(counters); n > maxRemovedListeners+2 {
		t.Errorf("%d listeners are remembered", n)
	}
	if counters["listener"].Active != 1 {
		t.Error("a listener that has a connection was forgotten")
	}
	if _, ok := counters[fmt.Sprint("listener ", maxRemovedListeners+48)]; !ok {
		t.Error("the listener that was removed last was forgotten")
	}
	_ = held.Close()
}
