package guide

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// glance is the shortest pause before a command is repeated.
const glance = 200 * time.Millisecond

// Shell is a bash into which the tour's commands are typed, one after another: they share its variables.
type Shell struct {
	process *exec.Cmd
	input   io.WriteCloser
	output  *bufio.Reader
	mark    string // stands before the exit status in the output
}

// Environment is all that a shell, a server and their commands get to know: where programs are and where the
// credentials are.
func Environment(binaries, dataDir string) []string {
	return []string{
		"PATH=" + binaries + ":" + os.Getenv("PATH"),
		"HOME=" + dataDir, "LANG=C.UTF-8",
		"OS_CLIENT_CONFIG_FILE=" + dataDir + "/clouds.yaml", "OS_CLOUD=poise",
	}
}

// StartShell starts a bash as the given user (nil: as ourselves). The caller closes it.
func StartShell(environment []string, as *syscall.Credential) (*Shell, error) {
	s := &Shell{process: exec.Command("bash", "--noprofile", "--norc"), mark: rand.Text()}
	s.process.Dir, s.process.Env = "/", environment
	// Its own process group: an interrupt on the terminal is for us, and we end the shell with all it started.
	s.process.SysProcAttr = &syscall.SysProcAttr{Credential: as, Setpgid: true}
	var err error
	if s.input, err = s.process.StdinPipe(); err != nil {
		return nil, fmt.Errorf("shell: %w", err)
	}
	output, err := s.process.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("shell: %w", err)
	}
	s.process.Stderr = s.process.Stdout
	s.output = bufio.NewReader(output)
	if err := s.process.Start(); err != nil {
		return nil, fmt.Errorf("shell: %w", err)
	}
	return s, nil
}

// Type runs a command and returns what it printed, to both outputs. A command that fails is an error. When ctx ends, so
// does the shell.
func (s *Shell) Type(ctx context.Context, command string) (string, error) {
	defer context.AfterFunc(ctx, s.kill)()
	// The command reads nothing: what comes next on the input is for the shell.
	if _, err := fmt.Fprintf(s.input, "{ %s\n} </dev/null\nprintf '\\n%s %%d\\n' $?\n", command, s.mark); err != nil {
		return "", errors.Join(ctx.Err(), fmt.Errorf("shell: %w", err))
	}
	printed := strings.Builder{}
	for {
		line, err := s.output.ReadString('\n')
		if err != nil {
			return printed.String(), errors.Join(ctx.Err(), fmt.Errorf("shell: %w", err))
		}
		if status, ok := strings.CutPrefix(line, s.mark+" "); ok {
			return strings.TrimSuffix(printed.String(), "\n"), failure(strings.TrimSpace(status))
		}
		printed.WriteString(line)
	}
}

func failure(status string) error {
	if status == "0" {
		return nil
	}
	return fmt.Errorf("the command ended with status %s", status)
}

// Take does a step: it types the command, again until it prints what it must if the step has time. It returns what the
// command printed last.
func (s *Shell) Take(ctx context.Context, step Step) (output string, err error) {
	deadline := time.Now().Add(step.Within)
	for {
		began := time.Now()
		output, err = s.Type(ctx, step.Command)
		if err == nil {
			err = step.Want.Check(output)
		}
		if err == nil || ctx.Err() != nil || time.Now().After(deadline) {
			return output, err
		}
		select {
		case <-time.After(max(glance, 2*time.Since(began))):
		case <-ctx.Done():
		}
	}
}

func (s *Shell) kill() { _ = syscall.Kill(-s.process.Process.Pid, syscall.SIGKILL) }

// Close ends the shell and what it started.
func (s *Shell) Close() {
	s.kill()
	_ = s.process.Wait() // it was killed
}
