// Command tcp compares the userspace TCP data plane with HAProxy 2.6 in mode tcp, as Octavia's amphora runs it: two
// threads, three retries, redispatch.
//
//	client ●──┐                      ┌──● member a
//	          ├── bridge (switch) ───┤
//	         ┌┴┐                     └──● member b
//	  haproxy ● ● poise
//
// Each of the five has a network namespace of its own, made by the linux fabric on a host of its own; poise is the
// real engine, one event loop for each processor, and creates its sockets through the fabric as in production. Both
// load balancers stand there the whole time and carry the same work in turns; what counts is the ratio within a round.
//
// Two costs of the same work are counted. "process" is the CPU time of the load balancer's process. On veth pairs that
// contains what its packets cause on their way, up to the receiver's socket, and not what the others' packets cause on
// their way to it. "path" adds the CPU time of the client, the members and the kernel's softirq threads, so that nothing
// can hide; it contains the work that would be there without any load balancer.
//
//	go run ./bench/tcp [-rounds 5] [-seconds 2] [-idle 9000] [-only short]
//
// It needs root and HAProxy (Debian 12 has 2.6).
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
		err = runPoise()
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

// compare runs every workload through both, round after round.
func compare(rounds int, duration time.Duration, idle int, only string) error {
	s, err := openSite()
	if err != nil {
		return err
	}
	defer s.close()
	fmt.Printf("%-34s %10s %10s %22s  %s\n", "", "haproxy", "poise", "poise/haproxy (range)", "target")
	for _, w := range workloads(duration, idle) {
		if !strings.Contains(w.name, only) {
			continue
		}
		if err := s.compare(w, rounds); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	if strings.Contains("limit", only) {
		return s.exceedDescriptors()
	}
	return nil
}

// workload is something to carry; measure says what one unit of it cost, in each of the units.
type workload struct {
	name    string
	units   []unit
	measure func(s *site, through *process) (costs []float64, err error)
}

// unit is what a cost is measured in, and what is wanted of it: of the ratio, or of poise's own figure.
type unit struct{ name, target string }

func (s *site) compare(w workload, rounds int) error {
	pair := []*process{s.haproxy, s.poise}
	costs := make([][2][]float64, len(w.units)) // by unit, process, round
	for round := range rounds {
		for i := range pair {
			who := (i + round) % 2 // who goes first changes
			cost, err := w.measure(s, pair[who])
			if err != nil {
				return err
			}
			for u := range w.units {
				costs[u][who] = append(costs[u][who], cost[u])
			}
		}
	}
	for u, unit := range w.units {
		printRow(w.name+": "+unit.name, costs[u], unit.target)
	}
	return nil
}

func printRow(name string, costs [2][]float64, target string) {
	var ratios []float64
	for i := range costs[0] {
		ratios = append(ratios, costs[1][i]/costs[0][i])
	}
	slices.Sort(ratios)
	fmt.Printf("%-34s %10.2f %10.2f %8.2f (%.2f to %.2f)  %s\n",
		name, median(costs[0]), median(costs[1]), median(ratios), ratios[0], ratios[len(ratios)-1], target)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
