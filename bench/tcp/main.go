// Command tcp compares the userspace TCP data plane with HAProxy: CPU time of the process under test for each
// connection, request and gigabyte, and its memory for each idle connection. Both carry the same work in turns, in
// the same run, over the loopback interface; what counts is the ratio.
//
//	go run ./bench/tcp [-rounds 5] [-seconds 2] [-idle 2000] [-only short]
//
// HAProxy (2.6 in Debian 12) must be installed. It runs with two threads in mode tcp, as Octavia's amphora has it.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 5, "rounds; the medians of their ratios are printed")
	seconds := flag.Float64("seconds", 2, "duration of one measurement")
	idle := flag.Int("idle", 2000, "idle connections")
	only := flag.String("only", "", "run only workloads whose name contains this")
	flag.Parse()
	var err error
	switch flag.Arg(0) {
	case "member":
		err = runMember()
	case "poise":
		err = runPoise(flag.Args()[1:])
	default:
		err = compare(*rounds, time.Duration(*seconds*float64(time.Second)), *idle, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// compare runs every workload through both, round after round.
func compare(rounds int, duration time.Duration, idle int, only string) error {
	members, err := startMember()
	if err != nil {
		return err
	}
	defer members.stop()
	reference, err := startHAProxy()
	if err != nil {
		return err
	}
	defer reference.stop()
	subject, err := startPoise()
	if err != nil {
		return err
	}
	defer subject.stop()

	fmt.Printf("%-28s %10s %10s %22s\n", "", "haproxy", "poise", "poise/haproxy (range)")
	for _, w := range workloads(duration, idle) {
		if !strings.Contains(w.name, only) {
			continue
		}
		if err := w.compare(rounds, reference, subject); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	return nil
}

// workload is something to carry; measure says what one unit of it cost the process.
type workload struct {
	name    string
	measure func(*process) (cost float64, err error)
}

func (w workload) compare(rounds int, reference, subject *process) error {
	var of [2][]float64
	var ratios []float64
	for round := range rounds {
		pair := []*process{reference, subject}
		var costs [2]float64
		for i := range pair {
			who := (i + round) % 2 // who goes first changes
			cost, err := w.measure(pair[who])
			if err != nil {
				return err
			}
			costs[who] = cost
			of[who] = append(of[who], cost)
		}
		ratios = append(ratios, costs[1]/costs[0])
	}
	slices.Sort(ratios)
	fmt.Printf("%-28s %10.2f %10.2f %8.2f (%.2f to %.2f)\n",
		w.name, median(of[0]), median(of[1]), median(ratios), ratios[0], ratios[len(ratios)-1])
	return nil
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
