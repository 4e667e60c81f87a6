package testhost

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func init() { runtime.LockOSThread() } // the main goroutine stays on the main thread

// TestMain leaves the main thread in another network namespace, as libraries do now and then. Tests run on other threads.
func TestMain(m *testing.M) {
	if os.Geteuid() == 0 {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// TestListeningIsOfTheHost also where the main thread is not.
func TestListeningIsOfTheHost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another network namespace needs root")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	all, err := Listening()
	port := fmt.Sprintf(":%04X", l.Addr().(*net.TCPAddr).Port)
	if err != nil || !slices.ContainsFunc(all, func(address string) bool { return strings.HasSuffix(address, port) }) {
		t.Errorf("%s is not in %v: %v", port, all, err)
	}
}
