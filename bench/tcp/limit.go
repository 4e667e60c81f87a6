package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"poise/bench/site"
)

const (
	// crowdSize asks for more connections than a process with 20,000 descriptors can carry.
	crowdSize = 11_000
	// leavers of them go, for others to be served.
	leavers = 1000
)

// exceedDescriptors asks poise for more connections than it has descriptors for, and then lets some of them go.
func exceedDescriptors(s *site.Site, poise *site.Process) (err error) {
	c, err := s.StartClient("crowd", poise.At(portAnswer), strconv.Itoa(crowdSize))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	full, err := c.Number()
	if err != nil {
		return err
	}
	before, err := poise.CPU()
	if err != nil {
		return err
	}
	const watched = 2 * time.Second
	time.Sleep(watched)
	after, err := poise.CPU()
	if err != nil {
		return err
	}
	descriptors, err := poise.Descriptors()
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(c.In, leavers); err != nil {
		return err
	}
	later, err := c.Number()
	if err != nil {
		return err
	}
	log, err := os.ReadFile(poise.Log)
	fmt.Printf("limit: %d clients, %.0f served with %.0f descriptors, %.0f after %d have left; waiting costs %.1f %% CPU, log lines: %d\n",
		crowdSize, full, descriptors, later, leavers, 100*(after-before).Seconds()/watched.Seconds(),
		strings.Count(string(log), "out of file descriptors"))
	return err
}

// openCrowd opens connections at once and prints how many were answered, until no more are; then so many as its
// input says leave, and it prints again.
func openCrowd(address string, n int) error {
	var answered atomic.Int64
	conns := make(chan net.Conn, n)
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		go func() {
			if ask(conn, make([]byte, answerSize)) == nil {
				answered.Add(1)
				conns <- conn
			}
		}()
	}
	settle(&answered)
	fmt.Println(answered.Load())
	var leaving int
	if _, err := fmt.Scanln(&leaving); err != nil {
		return err
	}
	for range leaving {
		if err := (<-conns).Close(); err != nil {
			return err
		}
	}
	settle(&answered)
	fmt.Println(answered.Load())
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// settle waits until n has not changed for a second.
func settle(n *atomic.Int64) {
	for last := int64(-1); last != n.Load(); {
		last = n.Load()
		time.Sleep(time.Second)
	}
}
