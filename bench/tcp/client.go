package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"poise/bench/site"
)

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
	do := map[string]site.Job{"short": oneConnection, "kept": manyRequests, "bulk": download}[args[0]]
	return site.Repeat(do, args[1], count, duration)
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
