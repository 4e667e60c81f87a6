package main

import (
	"io"
	"net"
	"strconv"

	"poise/bench/site"
)

// Each workload has its port, at the members as at the load balancers.
const (
	portAnswer = 21801 // answers 1 KiB to each 100 bytes
	portSource = 21802 // sends zeros for ever
)

var ports = []int{portAnswer, portSource}

// runMember serves both ports.
func runMember(ip string) error {
	for port, handle := range map[int]func(net.Conn){portAnswer: answer, portSource: source} {
		l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
		if err != nil {
			return err
		}
		go accept(l, handle)
	}
	return site.UntilStopped()
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
