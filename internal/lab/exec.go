package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Exec replaces this process by command, in the network namespace with the given name below /run/netns, or where it is
// when the name is "". It returns only when it fails.
func Exec(namespace string, command []string) error {
	path, err := exec.LookPath(command[0])
	if err != nil {
		return fmt.Errorf("command: %w", err)
	}
	if namespace != "" {
		// The thread that calls execve survives it, with its network namespace.
		runtime.LockOSThread()
		if err := enter(namespace); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: %w", path, unix.Exec(path, command, os.Environ()))
}

func enter(namespace string) error {
	file, err := os.Open(filepath.Join("/run/netns", filepath.Base(namespace)))
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering network namespace %s: %w", namespace, err)
	}
	return nil
}
