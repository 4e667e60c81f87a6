package linux

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/fabric"
)

// Load balancers that nobody uses hold no descriptors, and can be used at any time.
func TestNamespacesAreOpenWhileTheyAreUsed(t *testing.T) {
	f := newFabric(t)
	f.spaces.warm.limit = 3
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	before := openNamespaces(t)
	var all []dataplane.Net
	for i := range 12 {
		id := fmt.Sprintf("lb-%d", i)
		all = append(all, plug(t, f, id, port(id+"-vip", "net", fmt.Sprintf("10.0.0.%d/24", 10+i))).Net)
	}
	for range 3 {
		for i, network := range all {
			fd, err := network.Socket(unix.AF_INET, unix.SOCK_STREAM)
			if err != nil {
				t.Fatalf("socket of load balancer %d: %v", i, err)
			}
			defer unix.Close(fd)
		}
	}
	if n := openNamespaces(t) - before; n > 3 {
		t.Errorf("12 load balancers hold %d descriptors of namespaces, want at most 3", n)
	}
}

// A namespace that has another one's name is not entered in its place.
func TestSuccessorIsNotMistaken(t *testing.T) {
	f := newFabric(t)
	f.spaces.warm.limit = 0
	apply(t, f, fabric.Topology{Networks: []fabric.Network{{ID: "net"}}})
	first := plug(t, f, "lb", port("vip", "net", "10.0.0.5/24"))
	if err := f.Unplug(t.Context(), "lb"); err != nil {
		t.Fatal("Unplug:", err)
	}
	plug(t, f, "lb", port("vip", "net", "10.0.0.5/24"))
	if fd, err := first.Net.Socket(unix.AF_INET, unix.SOCK_STREAM); err == nil {
		_ = unix.Close(fd)
		t.Error("a socket of the first namespace was made in the second")
	}
}

func openNamespaces(t *testing.T) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && strings.HasPrefix(target, "net:[") {
			n++
		}
	}
	return n
}
