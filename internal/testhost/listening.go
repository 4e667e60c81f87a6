package testhost

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// Listening lists the local addresses of the host's listening TCP sockets of IP version 4, in order and as the kernel writes them.
//
// It asks /proc/thread-self, not /proc/net, which is of the main thread: that one may stay in another namespace for ever, when a
// goroutine has ended there that was locked to it (runtime.LockOSThread).
func Listening() (addresses []string, err error) {
	text, err := os.ReadFile("/proc/thread-self/net/tcp")
	if err != nil {
		return nil, fmt.Errorf("listening sockets: %w", err)
	}
	const listen = "0A" // include/net/tcp_states.h
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] == listen {
			addresses = append(addresses, fields[1])
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}
