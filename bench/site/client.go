package site

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Client is a process in the client's namespace that does one workload and prints numbers, a line each.
type Client struct {
	In io.WriteCloser

	cmd  *exec.Cmd
	said *bufio.Reader
}

// StartClient starts this program with the role client and these arguments.
func (s *Site) StartClient(args ...string) (*Client, error) {
	cmd := exec.Command("/proc/self/exe", append([]string{"client"}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &Client{in, cmd, bufio.NewReader(out)}, InNamespace(s.spaces[clientIP], cmd.Start)
}

// Number is the next line that the client prints.
func (c *Client) Number() (float64, error) {
	line, err := c.said.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

// Stop ends the client and its connections; the error is what the client complained about.
func (c *Client) Stop() error {
	_ = c.In.Close()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("client: %w", err)
	}
	return nil
}

// Job does some of a workload until over, and adds the units done to count.
type Job func(address string, over time.Time, count *atomic.Int64) error

// Repeat is for the client's process: it has several do the job at once, and prints how much they did.
func Repeat(do Job, address string, clients int, duration time.Duration) error {
	var count atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, clients)
	over := time.Now().Add(duration)
	for i := range clients {
		wg.Go(func() { errs[i] = do(address, over, &count) })
	}
	wg.Wait()
	fmt.Println(count.Load())
	return errors.Join(errs...)
}
