// Package acceptance holds poise to what it promises to its users: it starts the real binary on a fresh host, types what a
// user would type, with the real openstack client, and looks at what the network does.
//
// Each test runs on a host of its own, so that they can run at the same time.
package acceptance

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"poise/internal/testhost"
)

// hostVariable is set on a fresh host: the directory with the binaries.
const hostVariable = "POISE_ACCEPTANCE_BINARIES"

// patience is how long a test waits for what takes a moment. It passes only where something is broken, however busy the machine is.
const patience = time.Minute

// glance is the pause between two looks at what a test waits for, so that the looks do not take the machine.
const glance = 100 * time.Millisecond

// atOnce is how many tests run at the same time: most wait for a health monitor half of the time.
const atOnce = 4

// binaries is the directory with the poise to be tested.
var binaries string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binaries = os.Getenv(hostVariable); binaries != "" {
		return testhost.Run(m.Run)
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
	flag.Parse()
	if err := flag.Set("test.parallel", strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))); err != nil {
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
	host.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the host ends with the thread that started it
	defer runtime.UnlockOSThread()
	output, err := host.CombinedOutput()
	t.Logf("on the fresh host:\n%s", output)
	if err != nil {
		t.Fatal("fresh host:", err)
	}
	return false
}
