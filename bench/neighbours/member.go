package main

import (
	"errors"
	"net"
	"net/http"
	"strconv"
)

// The ports of members.
const (
	portWeb    = 80   // answers requests
	portSource = 9000 // sends zeros for ever
)

// runMember serves both ports on an address.
func runMember(ip string) error {
	ended, err := awaitStart()
	if err != nil {
		return err
	}
	web, err := net.Listen("tcp4", net.JoinHostPort(ip, strconv.Itoa(portWeb)))
	if err != nil {
		return err
	}
	source, err := net.Listen("tcp4", net.JoinHostPort(ip, strconv.Itoa(portSource)))
	if err != nil {
		return errors.Join(err, web.Close())
	}
	server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100)) })}
	go func() { _ = server.Serve(web) }()
	go func() {
		for {
			c, err := source.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for piece, err := make([]byte, 256<<10), error(nil); err == nil; {
					_, err = c.Write(piece)
				}
			}()
		}
	}()
	<-ended
	return errors.Join(server.Close(), source.Close())
}
