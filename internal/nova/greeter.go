package nova

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

const (
	// maxConversations bounds the connections that one server answers at once; further clients wait in the backlog.
	maxConversations = 256
	// conversationLimit bounds one connection, maxHeard the bytes that are read from it.
	conversationLimit = 5 * time.Second
	maxHeard          = 64 << 10
	backlog           = 128
)

// greeting is what a server's service says, and where.
type greeting struct {
	server    string
	service   service
	addresses []netip.Addr
}

func (g greeting) line() string { return "Yello from " + g.server + "!" }

// greeter is a running service. The nil greeter serves nothing.
type greeter struct {
	greeting greeting
	cancel   context.CancelFunc
	tasks    sync.WaitGroup
	ended    chan struct{} // closed when a part of it has ended by itself
	once     sync.Once     // closes ended
}

// startGreeter listens on every address of the server before it returns.
func startGreeter(plug fabric.Server, g greeting) (*greeter, error) {
	ctx, cancel := context.WithCancel(context.Background())
	started := &greeter{greeting: g, cancel: cancel, ended: make(chan struct{})}
	if g.service.program == ncat {
		if path, err := exec.LookPath("ncat"); err == nil {
			return started, started.startNcats(ctx, path, plug)
		}
	}
	listeners := []net.Listener{}
	for _, a := range g.addresses {
		l, err := listen(plug, netip.AddrPortFrom(a, g.service.port))
		if err != nil {
			cancel()
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return nil, err
		}
		listeners = append(listeners, l)
	}
	for _, l := range listeners {
		started.tasks.Go(func() { started.accept(ctx, l) })
	}
	return started, nil
}

func (g *greeter) alive() bool {
	if g == nil {
		return true
	}
	select {
	case <-g.ended:
		return false
	default:
		return true
	}
}

func (g *greeter) serves(wanted greeting) bool {
	if g == nil {
		return wanted.service.port == 0
	}
	is := g.greeting
	return is.server == wanted.server && is.service == wanted.service && slices.Equal(is.addresses, wanted.addresses)
}

// stop closes the port and every conversation, and waits for their goroutines and processes.
func (g *greeter) stop() {
	if g == nil {
		return
	}
	g.cancel()
	g.tasks.Wait()
}

// fell notes that a part has ended by itself.
func (g *greeter) fell() { g.once.Do(func() { close(g.ended) }) }

// listen opens a listening socket in the server's network. The caller closes the listener.
func listen(plug fabric.Server, at netip.AddrPort) (net.Listener, error) {
	family := unix.AF_INET6
	if at.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := plug.Net.Socket(family, unix.SOCK_STREAM)
	if err != nil {
		return nil, fmt.Errorf("socket for %s: %w", at, err)
	}
	file := os.NewFile(uintptr(fd), "listener "+at.String())
	defer func() { _ = file.Close() }() // the listener has its own descriptor
	if err := bindAndListen(fd, at); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", at, err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listener on %s: %w", at, err)
	}
	return l, nil
}

func bindAndListen(fd int, at netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	var address unix.Sockaddr = &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	if at.Addr().Is4() {
		address = &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
	}
	if err := unix.Bind(fd, address); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

// accept greets whoever connects until ctx ends. It closes the listener.
func (g *greeter) accept(ctx context.Context, l net.Listener) {
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	defer func() { _ = l.Close() }()
	free := make(chan struct{}, maxConversations)
	for {
		select {
		case free <- struct{}{}:
		case <-ctx.Done():
			return
		}
		conn, err := l.Accept()
		if err != nil {
			g.fell() // at the end of ctx nobody asks any more
			return
		}
		g.tasks.Go(func() {
			defer func() { <-free }()
			greet(ctx, conn.(*net.TCPConn), g.greeting.line())
		})
	}
}

// greet says its line and closes. An HTTP client has sent a request by then, and a close with unread bytes would be a
// reset that may overtake the line; so it ends its side, reads what the client has to say, and only then closes.
func greet(ctx context.Context, conn *net.TCPConn, line string) {
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(conversationLimit)); err != nil {
		return
	}
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		return
	}
	if err := conn.CloseWrite(); err != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, conn, maxHeard)
}
