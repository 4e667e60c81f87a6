// Command provision measures how fast changes take effect: a whole load balancer from the first request to the first
// byte through its VIP, a member's change to its effect, and a thousand load balancers: how long they take to make
// and to bring back after a restart, and what the process weighs. It runs a real server in the linux fabric, on a host
// of its own, with three servers of the playground.
//
//	go run ./bench/provision [-runs 100] [-many 1000]
//
// It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"poise/internal/fabric/linux"
	"poise/internal/testhost"
)

func main() {
	runs := flag.Int("runs", 100, "load balancers made in a row, and member changes")
	many := flag.Int("many", 1000, "load balancers on the node at once")
	flag.Parse()
	restore, err := linux.RaiseNeighbourLimits() // as the server does, but it cannot from a host of its own
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	code := testhost.Run(func() int {
		if err := measure(context.Background(), *runs, *many); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		}
		return 0
	})
	if err := restore(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(code)
}

func measure(ctx context.Context, runs, many int) error {
	s, err := newServer()
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.lab(ctx); err != nil {
		return err
	}
	if err := s.measureCreate(ctx, runs); err != nil {
		return fmt.Errorf("whole load balancers: %w", err)
	}
	if err := s.measureMemberChange(ctx, runs); err != nil {
		return fmt.Errorf("member changes: %w", err)
	}
	if err := s.measureMany(ctx, many); err != nil {
		return fmt.Errorf("%d load balancers: %w", many, err)
	}
	return nil
}

// measureCreate makes whole load balancers, one after the other: LB, listener, pool, two members, and then connects
// until the first byte arrives.
func (s *server) measureCreate(ctx context.Context, runs int) error {
	var times []time.Duration
	for range runs {
		begin := time.Now()
		b, err := s.makeBalancer(ctx, 2)
		if err != nil {
			return err
		}
		if err := s.untilAnswer(ctx, b.address, ""); err != nil {
			return err
		}
		times = append(times, time.Since(begin))
		if err := s.deleteBalancer(ctx, b.id); err != nil {
			return err
		}
	}
	report("whole load balancer to first byte", times, 150*time.Millisecond)
	return nil
}

// measureMemberChange switches which of two members has weight, and connects until the other one answers.
func (s *server) measureMemberChange(ctx context.Context, runs int) error {
	b, err := s.makeBalancer(ctx, 2)
	if err != nil {
		return err
	}
	var times []time.Duration
	for i := range runs {
		off, on := b.members[i%2], b.members[(i+1)%2]
		if err := s.setWeight(ctx, b.pool, on, 1); err != nil {
			return err
		}
		begin := time.Now()
		if err := s.setWeight(ctx, b.pool, off, 0); err != nil {
			return err
		}
		if err := s.untilAnswer(ctx, b.address, greeting(on)); err != nil {
			return err
		}
		times = append(times, time.Since(begin))
	}
	report("member change to effect", times, 50*time.Millisecond)
	return s.deleteBalancer(ctx, b.id)
}

// measureMany makes many load balancers in a network of their own, which the lab's router connects with their member.
func (s *server) measureMany(ctx context.Context, many int) error {
	if err := s.api.makeLargeSubnet(ctx); err != nil {
		return err
	}
	begin := time.Now()
	var last balancer
	for range many {
		var err error
		if last, err = s.makeBalancer(ctx, 1); err != nil {
			return err
		}
	}
	if err := s.untilAnswer(ctx, last.address, ""); err != nil {
		return err
	}
	fmt.Printf("%-36s %v, resident %d MiB\n", fmt.Sprintf("%d load balancers made in", many), time.Since(begin).Round(time.Millisecond), s.residentMiB())
	if err := s.kill(); err != nil {
		return err
	}
	begin = time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.untilAllAnswer(ctx); err != nil {
		return err
	}
	fmt.Printf("%-36s %v (target 10s), resident %d MiB (target 1024)\n", "all back after kill -9 in", time.Since(begin).Round(time.Millisecond), s.residentMiB())
	return nil
}

func report(what string, times []time.Duration, target time.Duration) {
	slices.Sort(times)
	at := func(q float64) time.Duration {
		return times[int(q*float64(len(times)-1))].Round(100 * time.Microsecond)
	}
	fmt.Printf("%-36s p50 %v  p99 %v  max %v  (target p99 %v, %d runs)\n", what, at(0.5), at(0.99), at(1), target, len(times))
}
