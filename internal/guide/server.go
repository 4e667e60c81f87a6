package guide

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	// startLimit is how long a server may take until it answers, stopLimit until it has stopped.
	startLimit = 20 * time.Second
	stopLimit  = 60 * time.Second
)

// Server is a `poise serve` in a process of its own.
type Server struct {
	process *exec.Cmd
	done    chan struct{}
	err     error // how it ended; after done
}

// ServerConfig says how to serve.
type ServerConfig struct {
	Binary  string
	Listen  string // host:port
	DataDir string
	Fabric  string
	File    string // with further configuration; "" for none
	Log     io.Writer
	As      *syscall.Credential // nil: as ourselves
	Keep    bool                // leave networks on the host when it stops, for the next start
	Unwell  bool                // it is enough that it answers; it may say why it is not healthy
}

// StartServer starts a server and waits until it answers. The caller stops it.
func StartServer(ctx context.Context, c ServerConfig) (*Server, error) {
	s := &Server{done: make(chan struct{})}
	s.process = exec.Command(c.Binary, "serve", "--config", c.File, "--data-dir", c.DataDir, "--listen", c.Listen, "--fabric", c.Fabric, fmt.Sprintf("--purge=%t", !c.Keep))
	s.process.Dir, s.process.Env = "/", Environment("", c.DataDir)
	s.process.Stdout, s.process.Stderr = c.Log, c.Log
	// Its own process group: an interrupt on the terminal is for us, and we stop the server when it is time.
	s.process.SysProcAttr = &syscall.SysProcAttr{Credential: c.As, Setpgid: true}
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("poise serve: %w", err)
	}
	go func() {
		defer close(s.done)
		s.err = s.process.Wait()
	}()
	if err := s.waitUntilItAnswers(ctx, "http://"+c.Listen+"/healthcheck", c.Unwell); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) waitUntilItAnswers(ctx context.Context, url string, unwell bool) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		if status := healthStatus(ctx, url); status == http.StatusOK || unwell && status != 0 {
			return nil
		}
		select {
		case <-again.C:
		case <-s.done:
			return errors.New("poise serve ended at once")
		case <-ctx.Done():
			return fmt.Errorf("poise serve does not answer: %w", ctx.Err())
		}
	}
}

// healthStatus is the status of the answer, 0 without one.
func healthStatus(ctx context.Context, url string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// Stop asks the server to stop and waits until it has taken away what it made.
func (s *Server) Stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		<-s.done
		return s.err
	}
	late := time.AfterFunc(stopLimit, s.Kill)
	defer late.Stop()
	<-s.done
	return s.err
}

// Signal sends a signal to the server.
func (s *Server) Signal(signal os.Signal) { _ = s.process.Process.Signal(signal) }

// PID is the server's process.
func (s *Server) PID() int { return s.process.Process.Pid }

// Kill ends the server as a crash would.
func (s *Server) Kill() { _ = s.process.Process.Kill() }
