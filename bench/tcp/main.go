// Command tcp compares the userspace TCP data plane with HAProxy 2.6 in mode tcp, as Octavia's amphora runs it: two
// threads, three retries, redispatch. Package site says where, and how.
//
// Two costs of the same work are counted. "process" is the CPU time of the load balancer's process. On veth pairs that
// contains what its packets cause on their way, up to the receiver's socket, and not what the others' packets cause on
// their way to it. "path" adds the CPU time of the client, the members and the kernel's softirq threads, so that nothing
// can hide; it contains the work that would be there without any load balancer.
//
//	go run ./bench/tcp [-rounds 5] [-seconds 2] [-idle 7500] [-only short]
//
// It needs root and HAProxy (Debian 12 has 2.6).
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"poise/bench/site"
	"poise/internal/testhost"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds; the medians of their ratios are printed")
	seconds := flag.Float64("seconds", 2, "duration of one measurement")
	idle := flag.Int("idle", 7500, "idle connections") // each takes two of the descriptors; some of 20,000 are kept back
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
	s, err := site.Open(portSource, site.Balancer{Name: "haproxy", Start: startHAProxy}, site.Balancer{Name: "poise", Start: site.StartPoise})
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Compare(site.Matching(workloads(duration, idle), only), rounds); err != nil {
		return err
	}
	if strings.Contains("limit", only) {
		return exceedDescriptors(s, s.Balancers[1])
	}
	return nil
}
