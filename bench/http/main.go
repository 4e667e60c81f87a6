// Command http compares poise's HTTP listeners with HAProxy 2.6 in mode http, as Octavia's amphora runs it (two threads,
// http-reuse safe), and with nginx (two workers, keep-alive to the members). Package site says where, and how.
//
// What counts is the CPU time of the load balancer's processes for each unit of work; "p99" is what a client waits for an
// answer, in µs, while two processors are shared by clients, load balancer and members. Clients offer X25519 and
// AES-128-GCM first, so that everybody does the same cryptography.
//
//	go run ./bench/http [-rounds 5] [-seconds 2] [-idle 9000] [-only kept]
//
// It needs root, HAProxy and nginx (Debian 12 has 2.6 and 1.22).
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
	idle := flag.Int("idle", 9000, "idle connections")
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
			return report(compare(*rounds, time.Duration(*seconds*float64(time.Second)), *idle, *only))
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

func compare(rounds int, duration time.Duration, idle int, only string) error {
	s, err := site.Open(portPlain,
		site.Balancer{Name: "haproxy", Start: startHAProxy},
		site.Balancer{Name: "nginx", Start: startNginx},
		site.Balancer{Name: "poise", Start: site.StartPoise})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Compare(site.Matching(workloads(duration, idle), only), rounds)
}
