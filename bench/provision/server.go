package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"poise/internal/clouds"
)

// patience bounds every wait for the server.
const patience = 2 * time.Minute

// server is a poise that the benchmark runs.
type server struct {
	dir, binary, listen string
	process             *exec.Cmd
	exited              chan error

	api     api
	servers []labServer
	made    []balancer // that are there now
}

// newServer is a server in a directory of its own, not started yet.
func newServer() (*server, error) {
	dir, err := os.MkdirTemp("", "poise-bench-")
	return &server{dir: dir, binary: filepath.Join(dir, "poise")}, err
}

// begin builds poise, starts it and signs in.
func (s *server) begin(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "poise/cmd/poise")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building poise: %w", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.listen = free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	return s.api.signIn(ctx, filepath.Join(s.data(), clouds.FileName))
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

// start starts the process and waits until it answers.
func (s *server) start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.CommandContext(ctx, s.binary, "serve", "--listen", s.listen, "--data-dir", s.data(), "--fabric", "linux")
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan error) { exited <- p.Wait() }(s.process, s.exited)
	return until(ctx, func() error {
		answer, err := http.Get("http://" + s.listen + "/healthcheck")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
}

// kill ends the process as a crash would.
func (s *server) kill() error {
	if err := s.process.Process.Kill(); err != nil {
		return err
	}
	<-s.exited
	return nil
}

func (s *server) close() {
	if s.process != nil && s.process.Process.Signal(os.Interrupt) == nil {
		<-s.exited
	}
	_ = os.RemoveAll(s.dir)
}

// lab has the playground made.
func (s *server) lab(ctx context.Context) error {
	up := exec.CommandContext(ctx, s.binary, "lab", "up", "--data-dir", s.data())
	if out, err := up.CombinedOutput(); err != nil {
		return fmt.Errorf("poise lab up: %w\n%s", err, out)
	}
	var err error
	s.servers, err = s.api.labServers(ctx)
	return err
}

// residentMiB is the resident memory of the process.
func (s *server) residentMiB() int {
	status, err := os.Open(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		return -1
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		if kB, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(kB), " kB"))
			return n / 1024
		}
	}
	return -1
}

// until tries again and again, at once, until try succeeds.
func until(ctx context.Context, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not within %v", patience), err)
		}
	}
}

// api is the server's APIs as the demo user and as the admin.
type api struct {
	balancers *gophercloud.ServiceClient
	compute   *gophercloud.ServiceClient // as admin
	network   *gophercloud.ServiceClient
	subnet    string // the lab's
}
