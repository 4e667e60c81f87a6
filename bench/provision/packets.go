package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// connections is how many are made, one after the other, to find what a packet costs.
const connections = 2000

// measurePackets connects to the first load balancer again and again: what a packet costs, in processor time of client and server
// together, tells whether the many that are beside it make it dearer.
func (b *bench) measurePackets(ctx context.Context, beside int) error {
	from := b.servers[len(b.servers)-1].namespace
	packets, err := cardPackets(from)
	if err != nil {
		return err
	}
	cpu, err := b.bothCPU()
	if err != nil {
		return err
	}
	for range connections {
		if err := b.untilAnswer(ctx, b.made[0].address, ""); err != nil {
			return err
		}
	}
	after, err := cardPackets(from)
	if err != nil {
		return err
	}
	spent, err := b.bothCPU()
	if err != nil {
		return err
	}
	spent, packets = spent-cpu, after-packets
	fmt.Printf("%-36s %v of processor time, %v for each of %d connections\n", fmt.Sprintf("a packet with %d beside", beside),
		(spent / time.Duration(packets)).Round(10*time.Nanosecond), (spent / connections).Round(time.Microsecond), connections)
	return nil
}

// bothCPU is the processor time of this process and the server. What the kernel does for packets between namespaces is part of it:
// it happens where they are sent.
func (b *bench) bothCPU() (time.Duration, error) {
	var own unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &own); err != nil {
		return 0, err
	}
	server, err := b.CPU()
	return server + time.Duration(own.Utime.Nano()+own.Stime.Nano()), err
}

// cardPackets is how many packets the cards of a namespace have received and sent.
func cardPackets(namespace string) (packets int, err error) {
	there, err := os.Open(filepath.Join("/run/netns", namespace))
	if err != nil {
		return 0, err
	}
	defer there.Close()
	done := make(chan error, 1)
	go func() { // on a thread that ends with the goroutine
		runtime.LockOSThread()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		for line := range strings.Lines(string(text)) {
			name, counts, isCard := strings.Cut(strings.TrimSpace(line), ":")
			var in, out, skip int
			if isCard && name != "lo" {
				_, _ = fmt.Sscan(counts, &skip, &in, &skip, &skip, &skip, &skip, &skip, &skip, &skip, &out)
				packets += in + out
			}
		}
		done <- err
	}()
	return packets, <-done
}
