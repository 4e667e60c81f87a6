package robust

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"poise/internal/testhost"
)

// bareHost is what a host has before any server starts.
var bareHost = []string{"link lo", "address 127.0.0.1/8 on lo"}

// hostState lists what is in each network namespace; that of the host is "".
func hostState(t *testing.T) map[string][]string {
	t.Helper()
	all, err := testhost.Networks()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func namespaceNames(t *testing.T) []string {
	t.Helper()
	names, err := testhost.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// openNamespace opens a network namespace, the host's when name is "".
func openNamespace(name string) (netns.NsHandle, error) { return testhost.OpenNamespace(name) }

// ask connects to an address, from inside a namespace when its name is not "", and reads to the end.
func ask(namespace, address string, limit time.Duration) (string, error) {
	connection, err := dial(namespace, address, limit)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	text, err := io.ReadAll(connection)
	return string(text), err
}

func dial(namespace, address string, limit time.Duration) (connection net.Conn, err error) {
	if namespace == "" {
		return net.DialTimeout("tcp4", address, limit)
	}
	type result struct {
		connection net.Conn
		err        error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, err := openNamespace(namespace)
		if err == nil {
			defer space.Close()
			err = unix.Setns(int(space), unix.CLONE_NEWNET)
		}
		var c net.Conn
		if err == nil {
			c, err = net.DialTimeout("tcp4", address, limit)
		}
		done <- result{c, err}
	}()
	r := <-done
	return r.connection, r.err
}
