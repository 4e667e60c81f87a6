package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"poise/bench/site"
)

// runClient is the client's process: a workload, an address, and the workload's numbers.
func runClient(args []string) error {
	address := args[1]
	count, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	duration, err := time.ParseDuration(args[3])
	if err != nil {
		return err
	}
	switch args[0] {
	case "idle":
		return openIdle(address, count)
	case "kept":
		return timedRequests(plain, address, count, duration)
	case "kept-tls":
		return timedRequests(secured(nil), address, count, duration)
	case "bulk":
		return site.Repeat(download(plain), address, count, duration)
	case "bulk-tls":
		return site.Repeat(download(secured(nil)), address, count, duration)
	case "full":
		return site.Repeat(handshakes(func() dial { return secured(nil) }), address, count, duration)
	case "resumed":
		return site.Repeat(handshakes(func() dial { return secured(tls.NewLRUClientSessionCache(1)) }), address, count, duration)
	case "h2":
		return site.Repeat(streams(), address, count, duration)
	}
	return fmt.Errorf("there is no workload %s", args[0])
}

type dial func(address string) (net.Conn, error)

func plain(address string) (net.Conn, error) { return net.Dial("tcp", address) }

func secured(sessions tls.ClientSessionCache) dial {
	config := clientTLS()
	config.ClientSessionCache = sessions
	return func(address string) (net.Conn, error) { return tls.Dial("tcp", address, config) }
}

func clientTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, ServerName: "www.example", MinVersion: tls.VersionTLS13,
		CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

func request(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: www.example\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Tenant: silver\r\n\r\n")
}

// ask sends a request and takes the answer.
func ask(conn net.Conn, in *bufio.Reader, request []byte) error {
	if _, err := conn.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			return fmt.Errorf("answer %q", line)
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	_, err := in.Discard(length)
	return err
}

// timedRequests has each client send requests over one connection, and prints how many there were and the 99th
// percentile of what they waited, in µs.
func timedRequests(connect dial, address string, clients int, duration time.Duration) error {
	var mu sync.Mutex
	var waits []time.Duration
	job := func(address string, over time.Time, count *atomic.Int64) error {
		conn, err := connect(address)
		if err != nil {
			return err
		}
		defer conn.Close()
		in, message := bufio.NewReader(conn), request("/")
		var own []time.Duration
		for now := time.Now(); now.Before(over); {
			if err := ask(conn, in, message); err != nil {
				return err
			}
			then := time.Now()
			own = append(own, then.Sub(now))
			now = then
		}
		count.Add(int64(len(own)))
		mu.Lock()
		defer mu.Unlock()
		waits = append(waits, own...)
		return nil
	}
	if err := site.Repeat(job, address, clients, duration); err != nil {
		return err
	}
	slices.Sort(waits)
	fmt.Println(waits[len(waits)*99/100].Microseconds())
	return nil
}

func download(connect dial) site.Job {
	return func(address string, over time.Time, count *atomic.Int64) error {
		conn, err := connect(address)
		if err != nil {
			return err
		}
		defer conn.Close()
		in, message := bufio.NewReaderSize(conn, 64<<10), request("/large")
		for time.Now().Before(over) {
			if err := ask(conn, in, message); err != nil {
				return err
			}
			count.Add(largeSize)
		}
		return nil
	}
}

// handshakes connects, asks once and closes, again and again; each client has a dial of its own.
func handshakes(each func() dial) site.Job {
	return func(address string, over time.Time, count *atomic.Int64) error {
		connect, message := each(), request("/")
		for time.Now().Before(over) {
			conn, err := connect(address)
			if err != nil {
				return err
			}
			if err := ask(conn, bufio.NewReader(conn), message); err != nil {
				return err
			}
			if err := conn.Close(); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	}
}

// streams sends requests over one HTTP/2 connection for all clients.
func streams() site.Job {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(), Protocols: protocols, MaxConnsPerHost: 1}}
	return func(address string, over time.Time, count *atomic.Int64) error {
		for time.Now().Before(over) {
			request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://"+address+"/", nil)
			if err != nil {
				return err
			}
			answer, err := client.Do(request)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, answer.Body)
			if err = errors.Join(err, answer.Body.Close()); err != nil {
				return err
			}
			if answer.StatusCode != http.StatusOK || answer.ProtoMajor != 2 {
				return fmt.Errorf("%s %s", answer.Proto, answer.Status)
			}
			count.Add(1)
		}
		return nil
	}
}

// openIdle opens connections, has each carry one request, and holds them until its input ends.
func openIdle(address string, n int) error {
	message := request("/")
	for range n {
		conn, err := plain(address)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := ask(conn, bufio.NewReaderSize(conn, 1<<10), message); err != nil {
			return err
		}
	}
	fmt.Println(n)
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
