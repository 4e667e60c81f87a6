// Package testhost gives tests and benchmarks a machine of their own, as far as networks go: a fresh network namespace
// with loopback up and an empty /run, so that they meet no interface, address or namespace of anybody else, and a process
// namespace, so that all of their processes end with them. It needs root.
package testhost

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside marks the process that runs on a host of its own.
const inside = "POISE_TEST_HOST"

// Run runs f on a host of its own and returns its exit code: it starts this program again, with the same arguments,
// and there calls f.
func Run(f func() int) int {
	if os.Getenv(inside) == "" {
		return again()
	}
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "error: preparing a host for the test:", err)
		return 1
	}
	return f()
}

// again starts this program on a fresh host and waits for it. An interrupt is left to that program, which would inherit
// that it is ignored.
func again() int {
	runtime.LockOSThread() // the host ends with the thread that started it (Pdeathsig)
	defer runtime.UnlockOSThread()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	command := exec.Command("/proc/self/exe", os.Args[1:]...)
	command.Env = append(os.Environ(), inside+"=1")
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	command.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: unix.SIGKILL,
	}
	if err := command.Run(); err != nil && command.ProcessState == nil {
		fmt.Fprintln(os.Stderr, "error: a host for the test:", err)
		return 1
	}
	return command.ProcessState.ExitCode()
}

func prepare() error {
	if err := unix.Mount("", "/", "none", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("own /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("empty /run: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return netlink.LinkSetUp(lo)
}
