// Command neighbours measures what one tenant costs another on the same node. Tenant B's requests are timed while nothing
// happens, and while tenant A attacks in one way after the other.
//
//	a-client ─▶ A's load balancer ─▶ a-member        the attack, in a CPU cgroup
//	b-client ─▶ B's load balancer ─▶ b-member        100 requests per second, each over a connection of its own
//
// Two servers run on one host of their own. "attacked" is B while A attacks on the same server. "control" is B while the same
// generator attacks a second server on the same machine: what the processors alone cost B. The two take turns.
//
// Wanted: no request of B fails, and its 99th percentile is at most 1.5 times the control's (the median over the rounds).
// Otherwise the program exits with 1.
//
//	go run ./bench/neighbours [-rounds 3] [-seconds 5] [-cpu 0.5] [-only regex]
//
// It needs root, and a CPU cgroup that it may make; without one, attackers run at the lowest priority, which it says.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"poise/internal/fabric/linux"
	"poise/internal/testhost"
)

// options are those of the command line.
type options struct {
	rounds   int
	duration time.Duration
	cpu      float64 // processors that attackers may use
	only     string
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds, each with and without a neighbour")
	seconds := flag.Float64("seconds", 5, "duration of one measurement")
	cpu := flag.Float64("cpu", 0.5, "processors that the attackers and A's member may use together")
	only := flag.String("only", "", "run only attacks whose name contains this")
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "member":
		err = runMember(flag.Arg(1))
	case "client":
		err = runClient(flag.Arg(1), flag.Arg(2))
	case "attack":
		err = runAttack(flag.Args()[1:])
	default:
		os.Exit(onOwnHost(options{*rounds, time.Duration(*seconds * float64(time.Second)), *cpu, *only}))
	}
	os.Exit(report(err))
}

// onOwnHost measures on a host of its own. The neighbour tables' limits belong to the machine and are raised before.
func onOwnHost(o options) (exitCode int) {
	restore, err := linux.RaiseNeighbourLimits()
	if err != nil {
		return report(err)
	}
	exitCode = testhost.Run(func() int { return report(measure(context.Background(), o)) })
	return max(exitCode, report(restore()))
}

func report(err error) (exitCode int) {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "error:", err)
	return 1
}
