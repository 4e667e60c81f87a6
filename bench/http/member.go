package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"

	"poise/bench/site"
)

// runMember answers requests with one of two prepared responses: it is the same cheap peer for everybody.
func runMember(ip string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(portPlain)))
	if err != nil {
		return err
	}
	small, large := response(smallSize), response(largeSize)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn, small, large)
			}()
		}
	}()
	return site.UntilStopped()
}

func response(size int) []byte {
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", size)
	return append([]byte(head), bytes.Repeat([]byte("x"), size)...)
}

func serve(conn net.Conn, small, large []byte) {
	in := bufio.NewReader(conn)
	for {
		answer := small
		for first := true; ; first = false {
			line, err := in.ReadSlice('\n')
			if err != nil {
				return
			}
			if first && bytes.Contains(line, []byte("/large")) {
				answer = large
			}
			if len(line) == 2 {
				break
			}
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
	}
}
