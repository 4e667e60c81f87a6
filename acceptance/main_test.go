// Package acceptance holds poise to what it promises to its users: it starts the real binary on a fresh host, types what a
// user would type, with the real openstack client, and looks at what the network does.
//
// A fresh host is the test itself, run again in network, mount and process namespaces of its own: nothing that it does is
// seen outside, hosts do not meet each other, and all of a host's processes end with it.
package acceptance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostVariable is set on a fresh host: the directory with the binaries.
const hostVariable = "POISE_ACCEPTANCE_BINARIES"

// binaries is the directory with the poise to be tested.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binaries = os.Getenv(hostVariable); binaries != "" {
		if err := furnishHost(); err != nil {
			fmt.Fprintln(os.Stderr, "fresh host:", err)
			return 1
		}
		return m.Run()
	}
	var err error
	if binaries, err = os.MkdirTemp("", "poise-acceptance-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(binaries)
	build := exec.Command("go", "build", "-o", filepath.Join(binaries, "poise"), "poise/cmd/poise")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "go build:", err)
		return 1
	}
	// Tests also run it as somebody else.
	if err := os.Chmod(binaries, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// onFreshHost runs the calling test on a fresh host and returns false; there it returns true.
func onFreshHost(t *testing.T) bool {
	t.Helper()
	if os.Getenv(hostVariable) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("a fresh host needs root")
	}
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	host := exec.CommandContext(t.Context(), program, "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v", "-test.count=1")
	host.Env = append(os.Environ(), hostVariable+"="+binaries)
	host.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	runtime.LockOSThread() // the host ends with the thread that started it
	defer runtime.UnlockOSThread()
	output, err := host.CombinedOutput()
	t.Logf("on the fresh host:\n%s", output)
	if err != nil {
		t.Fatal("fresh host:", err)
	}
	return false
}

// furnishHost gives the namespaces what a host has: its own /proc, an empty /run/netns, and a loopback interface.
func furnishHost() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if err := os.MkdirAll(namespaces, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", namespaces, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("%s: %w", namespaces, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback interface: %w", err)
	}
	return netlink.LinkSetUp(lo)
}
