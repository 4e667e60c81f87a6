package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// client is a process in the client's namespace that does one workload and prints numbers, a line each.
type client struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	said *bufio.Reader
}

func (s *site) startClient(args ...string) (*client, error) {
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
	return &client{cmd, in, bufio.NewReader(out)}, inNamespace(s.spaces[clientIP], cmd.Start)
}

// number is the next line that the client prints.
func (c *client) number() (float64, error) {
	line, err := c.said.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("client: %w", err)
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

// stop ends the client and its connections.
func (c *client) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}

// runClient is the client's process: a workload, an address, and the workload's numbers.
func runClient(args []string) error {
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	switch args[0] {
	case "idle":
		return openIdle(args[1], count)
	case "crowd":
		return openCrowd(args[1], count)
	}
	duration, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	do := map[string]job{"short": oneConnection, "kept": manyRequests, "bulk": download}[args[0]]
	return repeat(do, args[1], count, duration)
}

// job does some of a workload until over, and adds the units done to count.
type job func(address string, over time.Time, count *atomic.Int64) error

func repeat(do job, address string, clients int, duration time.Duration) error {
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

// oneConnection connects, asks, reads the answer and closes, again and again.
func oneConnection(address string, over time.Time, count *atomic.Int64) error {
	buffer := make([]byte, answerSize)
	for time.Now().Before(over) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		if err := ask(conn, buffer); err != nil {
			return err
		}
		if err := conn.Close(); err != nil {
			return err
		}
		count.Add(1)
	}
	return nil
}

func manyRequests(address string, over time.Time, count *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, answerSize)
	for time.Now().Before(over) {
		if err := ask(conn, buffer); err != nil {
			return err
		}
		count.Add(1)
	}
	return nil
}

func ask(conn net.Conn, buffer []byte) error {
	if _, err := conn.Write(buffer[:requestSize]); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, buffer)
	return err
}

func download(address string, over time.Time, count *atomic.Int64) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	buffer := make([]byte, 256<<10)
	for time.Now().Before(over) {
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		count.Add(int64(n))
	}
	return nil
}

// openIdle opens connections, has each carry one request, and holds them until its input ends.
func openIdle(address string, n int) error {
	buffer := make([]byte, answerSize)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := ask(conn, buffer); err != nil {
			return err
		}
	}
	fmt.Println(n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
