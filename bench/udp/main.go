// Command udp compares poise's UDP listeners with nginx's module stream (two workers, a socket for each with reuseport).
// Package site says where, and how.
//
// What counts is the CPU time of the load balancer's processes for each exchange: a question and what is answered. "path"
// adds the CPU time of the client, the members and the kernel's softirq threads. "answered" is how many of a thousand answers came.
//
//	go run ./bench/udp [-rounds 5] [-seconds 2] [-only new]
//
// It needs root, and nginx with its module stream (Debian 12 has 1.22).
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"poise/bench/site"
	"poise/internal/testhost"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds; the medians of their ratios are printed")
	seconds := flag.Float64("seconds", 2, "duration of one measurement")
	only := flag.String("only", "", "run only workloads whose name contains this")
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "member":
		err = runMember(flag.Arg(1))
	case "client":
		err = runClient(flag.Args()[1:])
	case "poise":
		err = runPoise(flag.Arg(1))
	default:
		os.Exit(testhost.Run(func() int {
			return report(compare(*rounds, time.Duration(*seconds*float64(time.Second)), *only))
		}))
	}
	os.Exit(report(err))
}

func report(err error) (exitCode int) {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	return 1
}

func compare(rounds int, duration time.Duration, only string) error {
	s, err := site.Open(portReady,
		site.Balancer{Name: "nginx", Start: startNginx},
		site.Balancer{Name: "poise", Start: site.StartPoise})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Compare(site.Matching(workloads(duration), only), rounds)
}
