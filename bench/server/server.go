// Package server runs a poise for a benchmark, in a directory of its own and on a free port, and says what it costs.
package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"poise/internal/clouds"
)

// patience bounds every wait for the server.
const patience = 2 * time.Minute

// Server is a poise that a benchmark runs.
type Server struct {
	binary  string
	dir     string
	listen  string
	process *exec.Cmd
	exited  chan error
}

// New is a server in a directory of its own, not started yet.
func New() (*Server, error) {
	dir, err := os.MkdirTemp("", "poise-bench-")
	return &Server{dir: dir, binary: filepath.Join(dir, "poise")}, err
}

// Begin builds poise and starts it.
func (s *Server) Begin(ctx context.Context) error {
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
	return s.Start(ctx)
}

// Address is the root of the server's APIs, without a slash at its end.
func (s *Server) Address() string { return "http://" + s.listen }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Account is a cloud of the server's clouds.yaml.
func (s *Server) Account(name string) (clouds.Cloud, error) {
	file, err := clouds.Read(filepath.Join(s.data(), clouds.FileName))
	if err != nil {
		return clouds.Cloud{}, err
	}
	return file.Clouds[name], nil
}

// Cloud is how a cloud of the server's clouds.yaml is reached, as its user.
func (s *Server) Cloud(ctx context.Context, name string) (*gophercloud.ProviderClient, gophercloud.EndpointOpts, error) {
	account, err := s.Account(name)
	if err != nil {
		return nil, gophercloud.EndpointOpts{}, err
	}
	auth := account.Auth
	client, err := openstack.AuthenticatedClient(ctx, gophercloud.AuthOptions{
		IdentityEndpoint: auth.AuthURL, Username: auth.Username, Password: auth.Password,
		DomainName: auth.UserDomainName, TenantName: auth.ProjectName,
	})
	if err != nil {
		return nil, gophercloud.EndpointOpts{}, err
	}
	// A restarted server has closed the idle connections.
	client.HTTPClient = http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Second}}
	return client, gophercloud.EndpointOpts{Region: account.RegionName}, nil
}

// Run runs a command of the program against the server.
func (s *Server) Run(ctx context.Context, arguments ...string) error {
	command := exec.CommandContext(ctx, s.binary, append(arguments, "--data-dir", s.data())...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("poise %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return nil
}

// Start starts the process and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process = exec.CommandContext(ctx, s.binary, "serve", "--listen", s.listen, "--data-dir", s.data(), "--fabric", "linux", "--purge")
	s.process.Stderr = log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan error) { exited <- p.Wait() }(s.process, s.exited)
	return Until(ctx, func() error {
		answer, err := http.Get("http://" + s.listen + "/healthcheck")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	})
}

// AwaitHealth waits until the server has no reason to call itself unhealthy. It looks for reasons once a second.
func (s *Server) AwaitHealth(ctx context.Context) error {
	return Until(ctx, func() error {
		answer, err := http.Get("http://" + s.listen + "/healthcheck")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			why, _ := io.ReadAll(answer.Body)
			return fmt.Errorf("unhealthy: %s", why)
		}
		return nil
	})
}

// Kill ends the process as a crash would.
func (s *Server) Kill() error {
	if err := s.process.Process.Kill(); err != nil {
		return err
	}
	<-s.exited
	return nil
}

// Close ends the process and removes its directory.
func (s *Server) Close() {
	if s.process != nil && s.process.Process.Signal(os.Interrupt) == nil {
		<-s.exited
	}
	_ = os.RemoveAll(s.dir)
}

// ResidentMiB is the resident memory of the process.
func (s *Server) ResidentMiB() int {
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

// Descriptors is how many files the process has open.
func (s *Server) Descriptors() int {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Process.Pid))
	if err != nil {
		return -1
	}
	return len(open)
}

// DescriptorLimit is how many files the process may have open.
func (s *Server) DescriptorLimit() int {
	limits, _ := os.ReadFile(fmt.Sprintf("/proc/%d/limits", s.process.Process.Pid))
	for line := range strings.Lines(string(limits)) {
		if soft, ok := strings.CutPrefix(line, "Max open files"); ok && len(strings.Fields(soft)) > 0 {
			n, _ := strconv.Atoi(strings.Fields(soft)[0])
			return n
		}
	}
	return -1
}

// Until tries again and again, at once, until try succeeds.
func Until(ctx context.Context, try func() error) error {
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

// clockTick is the unit of processor times in /proc, on every Linux that Go runs on (proc_pid_stat(5), USER_HZ).
const clockTick = 10 * time.Millisecond

// CPU is the processor time that the process has used, in user and kernel mode.
func (s *Server) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, afterName, _ := strings.Cut(string(stat), ") ") // the name is the 2nd field, the times are the 14th and 15th
	fields := strings.Fields(afterName)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}
