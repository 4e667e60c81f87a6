package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"poise/bench/site"
)

// answerTimeout is after what an answer counts as lost.
const answerTimeout = 200 * time.Millisecond

// asked and came count the answers that should come, and those that did.
var asked, came atomic.Int64

// runClient is the client's process: a workload, an address, how many clients, for how long.
func runClient(args []string) error {
	clients, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	do := map[string]site.Job{"kept": oneFlow, "new": manyFlows, "burst": oneFlowOfBursts}[args[0]]
	if err := site.Repeat(do, args[1], clients, duration); err != nil {
		return err
	}
	fmt.Println(1000 * float64(came.Load()) / float64(max(asked.Load(), 1)))
	return nil
}

// oneFlow asks again and again from one port.
func oneFlow(address string, over time.Time, count *atomic.Int64) error {
	return askFrom(address, over, 1, count)
}

// oneFlowOfBursts does so and gets many answers to each question.
func oneFlowOfBursts(address string, over time.Time, count *atomic.Int64) error {
	return askFrom(address, over, burst, count)
}

func askFrom(address string, over time.Time, answers int, count *atomic.Int64) error {
	conn, err := net.Dial("udp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	for time.Now().Before(over) {
		if err := ask(conn, answers, count); err != nil {
			return err
		}
	}
	return nil
}

// manyFlows asks each time from another port.
func manyFlows(address string, over time.Time, count *atomic.Int64) error {
	for time.Now().Before(over) {
		conn, err := net.Dial("udp", address)
		if err != nil {
			return err
		}
		if err := errors.Join(ask(conn, 1, count), conn.Close()); err != nil {
			return err
		}
	}
	return nil
}

func ask(conn net.Conn, answers int, count *atomic.Int64) error {
	buffer := make([]byte, burstSize)
	if _, err := conn.Write(buffer[:questionSize]); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	asked.Add(int64(answers))
	for range answers {
		_, err := conn.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		came.Add(1)
		count.Add(1)
	}
	return nil
}
