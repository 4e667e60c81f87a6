package nova

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"poise/internal/fabric"
)

// namespaceDirectory is where the fabric's namespaces have their names.
const namespaceDirectory = "/run/netns"

// startNcats runs the guide's command, one process for each address.
func (g *greeter) startNcats(ctx context.Context, path string, plug fabric.Server) error {
	for _, a := range g.greeting.addresses {
		if err := g.startNcat(ctx, path, plug.Namespace, a); err != nil {
			g.stop()
			return err
		}
	}
	return nil
}

// startNcat runs one ncat in the namespace. ncat hands what stands behind -c to a shell; the only part of it that a
// user chooses is the name, which has [nameForm].
func (g *greeter) startNcat(ctx context.Context, path, namespace string, a netip.Addr) error {
	if !nameForm.MatchString(g.greeting.server) {
		return fmt.Errorf("server name %q cannot stand in a command", g.greeting.server)
	}
	command := exec.Command(path, "-kv", "-l", a.String(), strconv.Itoa(int(g.greeting.service.port)), "-c", "echo "+g.greeting.line())
	command.Dir, command.Env = "/", []string{"PATH=/usr/bin:/bin"}
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started := make(chan error, 1)
	g.tasks.Go(func() { g.keep(ctx, command, namespace, started) })
	return <-started
}

// keep starts the process and stays until it ends. The thread stays too, and ends with the goroutine: it is in
// the server's namespace, and the kernel kills the process when the thread that started it is gone.
func (g *greeter) keep(ctx context.Context, command *exec.Cmd, namespace string, started chan<- error) {
	runtime.LockOSThread()
	if err := enter(namespace); err != nil {
		started <- err
		return
	}
	if err := command.Start(); err != nil {
		started <- fmt.Errorf("ncat: %w", err)
		return
	}
	started <- nil
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-command.Process.Pid, unix.SIGKILL) })
	defer stop()
	_ = command.Wait() // however it ended, it is gone
	g.fell()
}

// enter moves the thread into the namespace; "" is the one it is in.
func enter(namespace string) error {
	if namespace == "" {
		return nil
	}
	file, err := os.Open(filepath.Join(namespaceDirectory, namespace))
	if err != nil {
		return fmt.Errorf("namespace: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("namespace %s: %w", namespace, err)
	}
	return nil
}
