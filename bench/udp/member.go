package main

import (
	"net"
	"strconv"

	"poise/bench/site"
)

// Each workload has its port, at the members as at the load balancers.
const (
	portReady  = 21800 // TCP: says by listening that all others do
	portAnswer = 21801 // one answer to each question
	portOnce   = 21802 // the same, for clients that ask once
	portBurst  = 21803 // many answers
)

var ports = []int{portAnswer, portOnce, portBurst}

// runMember serves all ports.
func runMember(ip string) error {
	for _, port := range ports {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip), Port: port})
		if err != nil {
			return err
		}
		if port == portBurst {
			go answer(conn, burst, burstSize)
		} else {
			go answer(conn, 1, answerSize)
		}
	}
	if _, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(portReady))); err != nil {
		return err
	}
	return site.UntilStopped()
}

func answer(conn *net.UDPConn, times, size int) {
	buffer := make([]byte, burstSize)
	for {
		_, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return
		}
		for range times {
			if _, err := conn.WriteToUDPAddrPort(buffer[:size], from); err != nil {
				return
			}
		}
	}
}
