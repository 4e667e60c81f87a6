package main

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	requestSize = 100
	answerSize  = 1024
	concurrency = 64
	settleTime  = 300 * time.Millisecond // after which counters and memory are at rest
)

func workloads(duration time.Duration, idle int) []workload {
	return []workload{ // idle first: memory that other work has left behind would hide what a connection needs
		{"idle: KiB/connection", func(p *process) (float64, error) { return holdIdle(p, idle, (*process).residentKB, p.startKB) }},
		{"idle: descriptors/connection", func(p *process) (float64, error) {
			return holdIdle(p, idle, (*process).descriptors, p.startDescriptors)
		}},
		{"short: CPU us/connection", timed(duration, 1e6, concurrency, oneConnection)},
		{"kept: CPU us/request", timed(duration, 1e6, concurrency, manyRequests)},
		{"bulk 1: CPU s/GB", timed(duration, 1e9, 1, download)},
		{"bulk 8: CPU s/GB", timed(duration, 1e9, 8, download)},
	}
}

// client does some of a workload through p until over, and adds the units done to count.
type client func(p *process, over time.Time, count *atomic.Int64) error

// timed runs clients for a while; the cost is the CPU seconds of p for so many units.
func timed(duration time.Duration, units float64, clients int, run client) func(*process) (float64, error) {
	return func(p *process) (float64, error) {
		before, err := p.cpu()
		if err != nil {
			return 0, err
		}
		var count atomic.Int64
		var wg sync.WaitGroup
		errs := make([]error, clients)
		over := time.Now().Add(duration)
		for i := range clients {
			wg.Go(func() { errs[i] = run(p, over, &count) })
		}
		wg.Wait()
		time.Sleep(settleTime)
		after, err := p.cpu()
		return (after - before).Seconds() * units / float64(count.Load()), errors.Join(append(errs, err)...)
	}
}

// oneConnection connects, asks, reads the answer and closes, again and again.
func oneConnection(p *process, over time.Time, count *atomic.Int64) error {
	buffer := make([]byte, answerSize)
	for time.Now().Before(over) {
		conn, err := net.Dial("tcp", p.at(portAnswer))
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

func manyRequests(p *process, over time.Time, count *atomic.Int64) error {
	conn, err := net.Dial("tcp", p.at(portAnswer))
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

func download(p *process, over time.Time, count *atomic.Int64) error {
	conn, err := net.Dial("tcp", p.at(portSource))
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

// holdIdle opens connections that have carried a request and then rest, and compares with the process at its start.
func holdIdle(p *process, n int, measure func(*process) (float64, error), before float64) (float64, error) {
	buffer := make([]byte, answerSize)
	for range n {
		conn, err := net.Dial("tcp", p.at(portAnswer))
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		if err := ask(conn, buffer); err != nil {
			return 0, err
		}
	}
	time.Sleep(settleTime)
	after, err := measure(p)
	return (after - before) / float64(n), err
}

// runMember serves both addresses.
func runMember() error {
	for _, ip := range []string{memberA, memberB} {
		for port, handle := range map[int]func(net.Conn){portAnswer: answer, portSource: source} {
			l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
			if err != nil {
				return err
			}
			go accept(l, handle)
		}
	}
	return untilStopped()
}

func accept(l net.Listener, handle func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			handle(conn)
		}()
	}
}

func answer(conn net.Conn) {
	buffer := make([]byte, answerSize)
	for {
		if _, err := io.ReadFull(conn, buffer[:requestSize]); err != nil {
			return
		}
		if _, err := conn.Write(buffer); err != nil {
			return
		}
	}
}

func source(conn net.Conn) {
	buffer := make([]byte, 256<<10)
	for {
		if _, err := conn.Write(buffer); err != nil {
			return
		}
	}
}
