package linux

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Available says whether this process may create network namespaces; if not, the error is a sentence that says why.
func Available() error {
	missing, err := missingCapability()
	if err != nil {
		return fmt.Errorf("the capabilities of this process are unknown: %w", err)
	}
	if missing != "" {
		return fmt.Errorf("this process may not create network namespaces: it lacks %s (run it as root)", missing)
	}
	switch err := tryNamespace(); {
	case errors.Is(err, unix.EINVAL):
		return errors.New("the kernel has no network namespaces (CONFIG_NET_NS)")
	case err != nil:
		return fmt.Errorf("the system refuses to create a network namespace: %w", err)
	}
	return nil
}

// tryNamespace creates a namespace and leaves it again.
func tryNamespace() error {
	fd, err := unix.Open(callersNetwork, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	home := &namespace{name: "host", fd: fd}
	defer home.close()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	return home.welcome()
}

// missingCapability names the first of the needed capabilities that the process does not have, "" for none.
func missingCapability() (string, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData // capabilities 0 to 31, then 32 to 63
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return "", err
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return "CAP_NET_ADMIN", nil
	}
	if sets[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return "CAP_SYS_ADMIN", nil
	}
	return "", nil
}
