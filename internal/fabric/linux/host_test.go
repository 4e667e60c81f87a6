package linux

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/testhost"
)

// TestMain runs the tests on a host of their own.
func TestMain(m *testing.M) {
	if Available() != nil { // the tests say so
		os.Exit(m.Run())
	}
	os.Exit(testhost.Run(func() int {
		goleak.VerifyTestMain(m)
		return 0
	}))
}

// tags gives every fabric of the tests its own.
var tags atomic.Int32

// newFabric returns a fabric with its own tag, closed with the test.
func newFabric(t testing.TB) *Fabric {
	t.Helper()
	return restart(t, fmt.Sprintf("%x", tags.Add(1)))
}

// restart returns a fabric with a tag that an earlier one may have used and not cleared.
func restart(t testing.TB, tag string) *Fabric {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	f, err := New(t.Context(), Config{Tag: tag, HostPorts: []HostPort{{unix.IPPROTO_TCP, fabric.PortRange{First: 1, Last: 65535}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error("Close:", err)
		}
	})
	return f
}

// crash makes the process forget the fabric, as kill -9 would.
func crash(f *Fabric) {
	f.open.Lock()
	defer f.open.Unlock()
	f.closed = true
	f.release()
}

func apply(t testing.TB, f *Fabric, topology fabric.Topology) {
	t.Helper()
	if err := f.Apply(t.Context(), topology); err != nil {
		t.Fatal("Apply:", err)
	}
}

func plug(t testing.TB, f *Fabric, id string, ports ...fabric.Port) fabric.Endpoint {
	t.Helper()
	endpoint, err := f.Plug(t.Context(), id, ports)
	if err != nil {
		t.Fatal("Plug:", err)
	}
	return endpoint
}

func plugServer(t testing.TB, f *Fabric, id string, ports ...fabric.Port) fabric.Server {
	t.Helper()
	server, err := f.PlugServer(t.Context(), id, ports)
	if err != nil {
		t.Fatal("PlugServer:", err)
	}
	return server
}

// port describes a port: its MAC follows from its id, its gateway is the first address of its range.
func port(id, network string, prefixes ...string) fabric.Port {
	p := fabric.Port{ID: id, NetworkID: network, MTU: 1450, MAC: macOf(id)}
	for _, s := range prefixes {
		prefix := netip.MustParsePrefix(s)
		p.Addresses = append(p.Addresses, prefix)
		p.Gateways = append(p.Gateways, prefix.Masked().Addr().Next())
	}
	return p
}

func macOf(id string) net.HardwareAddr {
	mac := net.HardwareAddr{0xfa, 0x16, 0x3e, 0, 0, 0}
	for i, c := range []byte(id) {
		mac[3+i%3] = mac[3+i%3]*31 + c
	}
	return mac
}

// dialer dials from a network.
func dialer(from dataplane.Net) func(ctx context.Context, address string) (net.Conn, error) {
	return func(ctx context.Context, address string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return nil, err
		}
		fd, err := from.Socket(familyOf(to.Addr()), unix.SOCK_STREAM)
		if err != nil {
			return nil, err
		}
		file := os.NewFile(uintptr(fd), "socket")
		defer file.Close()
		if err := connectSocket(ctx, fd, to); err != nil {
			return nil, err
		}
		return net.FileConn(file)
	}
}

// connectSocket waits for the connection as long as ctx allows.
func connectSocket(ctx context.Context, fd int, to netip.AddrPort) error {
	if err := unix.Connect(fd, sockaddr(to)); !errors.Is(err, unix.EINPROGRESS) {
		return err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(patience)
	}
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	if n, err := unix.Poll(poll, int(time.Until(deadline).Milliseconds())); err != nil || n == 0 {
		return errors.Join(err, context.DeadlineExceeded)
	}
	errno, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || errno == 0 {
		return err
	}
	return unix.Errno(errno)
}

// serve answers every connection with a greeting and then echoes; it returns the port.
func serve(t testing.TB, on dataplane.Net, address, greeting string) (port uint16) {
	t.Helper()
	addr := netip.MustParseAddr(address)
	fd, err := on.Socket(familyOf(addr), unix.SOCK_STREAM)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	if err := errors.Join(unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0))), unix.Listen(fd, 16)); err != nil {
		t.Fatalf("listen on %s: %v", address, err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		greet(t.Context(), l, greeting)
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

// greet serves one connection after another: the greeting, the peer's address, then an echo until the peer closes or
// the test ends.
func greet(ctx context.Context, l net.Listener, greeting string) {
	conns := make(chan struct{}, 16)
	defer func() {
		for range cap(conns) {
			conns <- struct{}{}
		}
	}()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		conns <- struct{}{}
		go func() {
			defer func() { <-conns }()
			defer c.Close()
			defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })()
			peer := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			fmt.Fprintf(c, "%s to %s\n", greeting, peer)
			echo(c)
		}()
	}
}

func echo(c net.Conn) {
	buf := make([]byte, 64)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// patience is how long a test waits for anything.
const patience = 5 * time.Second

type dialFunc func(ctx context.Context, address string) (net.Conn, error)

// hostDial dials from the host.
func hostDial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// hear dials once and returns the greeting; what does not answer within a second is an error.
func hear(t testing.TB, dial dialFunc, address string, port uint16) (string, error) {
	t.Helper()
	c, err := open(t, dial, address, port, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return readLine(c)
}

func open(t testing.TB, dial dialFunc, address string, port uint16, within time.Duration) (net.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	return dial(ctx, netip.AddrPortFrom(netip.MustParseAddr(address), port).String())
}

func readLine(c net.Conn) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, 1)
	var line []byte
	for {
		if _, err := c.Read(buf); err != nil {
			return string(line), err
		}
		if buf[0] == '\n' {
			return string(line), nil
		}
		line = append(line, buf[0])
	}
}

// wantGreeting checks who answers, and whom it sees.
func wantGreeting(t testing.TB, dial dialFunc, address string, port uint16, want string) {
	t.Helper()
	got, err := hear(t, dial, address, port)
	if got != want || err != nil {
		t.Errorf("%s port %d answers %q (%v), want %q", address, port, got, err, want)
	}
}

// stillAlive checks that an open connection still carries bytes both ways.
func stillAlive(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := fmt.Fprintln(c, "ping"); err != nil {
		t.Fatal("connection lost:", err)
	}
	if line, err := readLine(c); line != "ping" || err != nil {
		t.Fatalf("connection lost: %q, %v", line, err)
	}
}

// remains lists what is on the host with the fabric's tag.
func remains(t testing.TB, f *Fabric) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir(directory)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if len(e.Name()) > len(f.spaces.prefix) && e.Name()[:len(f.spaces.prefix)] == f.spaces.prefix {
			found = append(found, e.Name())
		}
	}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if p := f.hostLinkPrefix(); len(l.Name) > len(p) && l.Name[:len(p)] == p {
			found = append(found, l.Name)
		}
	}
	slices.Sort(found)
	return found
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connection opens a connection, hears the greeting and leaves it open until the test ends.
func connection(t testing.TB, dial dialFunc, address string, port uint16) net.Conn {
	t.Helper()
	c, err := open(t, dial, address, port, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := readLine(c); err != nil {
		t.Fatal(err)
	}
	return c
}
