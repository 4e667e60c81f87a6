package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"poise/bench/site"
)

// process is this program in another role. It begins once it has read a line, and ends with its input.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said *bufio.Reader
}

// start starts a role in a namespace ("" for the host's) and in a group (nil for none).
func start(namespace string, group *cgroup, role ...string) (*process, error) {
	cmd := exec.Command("/proc/self/exe", role...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := site.InNamespace(namespace, cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(role, " "), err)
	}
	p := &process{cmd, in, bufio.NewReader(out)}
	if group != nil {
		if err := group.add(cmd.Process.Pid); err != nil {
			return nil, errors.Join(err, p.stop())
		}
	}
	_, err = fmt.Fprintln(in)
	return p, err
}

// line is the next line that the process prints.
func (p *process) line() (string, error) {
	line, err := p.said.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(p.cmd.Args[1:], " "), err)
	}
	return strings.TrimSpace(line), nil
}

// stop ends the process.
func (p *process) stop() error {
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(p.cmd.Args[1:], " "), err)
	}
	return nil
}

// awaitStart waits for the line with which a role begins. The channel is closed when the input ends.
func awaitStart() (ended <-chan struct{}, err error) {
	in := bufio.NewReader(os.Stdin)
	if _, err := in.ReadString('\n'); err != nil {
		return nil, err
	}
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, in)
	}()
	return end, nil
}
