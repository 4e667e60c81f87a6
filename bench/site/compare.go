package site

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Workload is something to carry; Measure says what it cost through one load balancer, in each of the units.
type Workload struct {
	Name    string
	Units   []Unit
	Without string // the load balancer that cannot do it; "": all can
	Measure func(s *Site, through *Process) (costs []float64, err error)
}

// Unit is what a cost is measured in, and what is wanted of it: of the ratio, or of poise's own figure.
type Unit struct{ Name, Target string }

// Compare has every load balancer carry every workload, round after round, and prints the medians. The last load
// balancer is poise; it is set against each of the others.
func (s *Site) Compare(workloads []Workload, rounds int) error {
	fmt.Printf("%-36s", "")
	for _, b := range s.Balancers {
		fmt.Printf(" %10s", b.Name)
	}
	for _, peer := range s.Balancers[:len(s.Balancers)-1] {
		fmt.Printf(" %22s", "poise/"+peer.Name)
	}
	fmt.Println("  target")
	for _, w := range workloads {
		if err := s.compare(w, rounds); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	return nil
}

func (s *Site) compare(w Workload, rounds int) error {
	costs := make([][][]float64, len(w.Units)) // by unit, load balancer, round
	for u := range costs {
		costs[u] = make([][]float64, len(s.Balancers))
	}
	for round := range rounds {
		for i := range s.Balancers {
			who := (i + round) % len(s.Balancers) // who goes first changes
			if s.Balancers[who].Name == w.Without {
				continue
			}
			cost, err := w.Measure(s, s.Balancers[who])
			if err != nil {
				return fmt.Errorf("%s: %w", s.Balancers[who].Name, err)
			}
			for u := range w.Units {
				costs[u][who] = append(costs[u][who], cost[u])
			}
		}
	}
	for u, unit := range w.Units {
		printRow(w.Name+": "+unit.Name, costs[u], unit.Target)
	}
	return nil
}

func printRow(name string, costs [][]float64, target string) {
	fmt.Printf("%-36s", name)
	for _, all := range costs {
		if len(all) == 0 {
			fmt.Printf(" %10s", "")
			continue
		}
		fmt.Printf(" %10.2f", median(all))
	}
	poise := costs[len(costs)-1]
	for _, peer := range costs[:len(costs)-1] {
		if len(peer) == 0 {
			fmt.Printf(" %22s", "")
			continue
		}
		var ratios []float64
		for round := range peer {
			ratios = append(ratios, poise[round]/peer[round])
		}
		slices.Sort(ratios)
		fmt.Printf(" %6.2f (%5.2f to %5.2f)", median(ratios), ratios[0], ratios[len(ratios)-1])
	}
	fmt.Println("  " + target)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// Matching are the workloads whose name contains a part.
func Matching(all []Workload, part string) []Workload {
	return slices.DeleteFunc(all, func(w Workload) bool { return !strings.Contains(w.Name, part) })
}

// Timed runs clients for a while (see [Repeat]); the costs are the CPU seconds of the load balancer's process and of the
// whole path for so many units, and after them whatever more numbers the client prints.
func Timed(kind string, units float64, clients, port int, duration time.Duration, more int) func(*Site, *Process) ([]float64, error) {
	return func(s *Site, through *Process) (costs []float64, err error) {
		process, err := through.CPU()
		if err != nil {
			return nil, err
		}
		path, err := s.PathCPU(through)
		if err != nil {
			return nil, err
		}
		c, err := s.StartClient(kind, through.At(port), strconv.Itoa(clients), duration.String())
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.Stop()) }()
		var said []float64
		for range 1 + more {
			n, err := c.Number()
			if err != nil {
				return nil, err
			}
			said = append(said, n)
		}
		time.Sleep(SettleTime)
		processAfter, err := through.CPU()
		if err != nil {
			return nil, err
		}
		pathAfter, err := s.PathCPU(through)
		done := said[0]
		return append([]float64{
			(processAfter - process).Seconds() * units / done,
			(pathAfter - path).Seconds() * units / done,
		}, said[1:]...), err
	}
}

// HoldIdle has a client open connections that have carried a request and then rest; the load balancer is compared with
// itself at its start: KiB and descriptors for each connection.
func HoldIdle(kind string, n, port int) func(*Site, *Process) ([]float64, error) {
	return func(s *Site, through *Process) (costs []float64, err error) {
		c, err := s.StartClient(kind, through.At(port), strconv.Itoa(n), "0s")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, c.Stop()) }()
		if _, err := c.Number(); err != nil {
			return nil, err
		}
		time.Sleep(SettleTime)
		kilobytes, err := through.ResidentKB()
		if err != nil {
			return nil, err
		}
		descriptors, err := through.Descriptors()
		return []float64{
			(kilobytes - through.StartKB) / float64(n),
			(descriptors - through.StartDescriptors) / float64(n),
		}, err
	}
}
