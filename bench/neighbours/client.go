package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// clientRate is how many requests B's client sends in a second, whether or not earlier ones are answered.
	clientRate = 100
	// clientPatience is after what a request has failed.
	clientPatience = 5 * time.Second
)

// runClient is B's client: each request has a connection of its own. It prints how many there were, how many failed, and
// the percentiles 50 and 99 of what those waited that did not, in µs.
func runClient(address, duration string) error {
	if _, err := awaitStart(); err != nil {
		return err
	}
	length, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var waits []time.Duration
	var failures []error
	var running sync.WaitGroup
	tick := time.NewTicker(time.Second / clientRate)
	defer tick.Stop()
	for over := time.After(length); ; {
		select {
		case <-tick.C:
			running.Go(func() {
				begin := time.Now()
				err := askOnce(address)
				wait := time.Since(begin)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failures = append(failures, err)
				} else {
					waits = append(waits, wait)
				}
			})
			continue
		case <-over:
		}
		break
	}
	running.Wait()
	slices.Sort(waits)
	if len(waits) == 0 {
		waits = []time.Duration{clientPatience}
	}
	first := "-"
	if len(failures) > 0 {
		first = fmt.Sprintf("%q", failures[0])
	}
	fmt.Println(len(waits)+len(failures), len(failures), waits[len(waits)/2].Microseconds(), waits[len(waits)*99/100].Microseconds(), first)
	return nil
}

// askOnce connects, asks and reads the answer.
func askOnce(address string) error {
	c, err := net.DialTimeout("tcp4", address, clientPatience)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(clientPatience)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n")); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReaderSize(c, 1<<10), nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answer %s", answer.Status)
	}
	return nil
}
