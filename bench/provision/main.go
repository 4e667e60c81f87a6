// Command provision measures how fast changes take effect: a whole load balancer from the first request to the first
// byte through its VIP, a member's change to its effect, and many load balancers in one network: how long they take to make,
// to list, to bring back after a restart and to delete, and what they weigh. It runs a real server in the linux fabric,
// on a host of its own, with three servers of the playground.
//
//	go run ./bench/provision [-runs 100] [-many 1000]
//	go run ./bench/provision -storm 300
//
// The second form measures what load balancers whose members do not exist, all checked every second, cost others: packets and
// drops of the kernel's backlog, answers of a load balancer in another network, and healthy members that are taken for dead.
//
// It needs root; 10,000 load balancers need some 5 GB of memory, most of it the kernel's for their namespaces.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"poise/bench/server"
	"poise/internal/fabric/linux"
	"poise/internal/testhost"
)

func main() {
	runs := flag.Int("runs", 100, "load balancers made in a row, and member changes")
	many := flag.Int("many", 1000, "load balancers on the node at once")
	storm := flag.Int("storm", 0, "measure nothing but what so many load balancers with dead members cost others")
	flag.Parse()
	restore, err := linux.RaiseNeighbourLimits() // as the server does, but it cannot from a host of its own
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	code := testhost.Run(func() int {
		if err := measure(context.Background(), *runs, *many, *storm); err != nil {
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

func measure(ctx context.Context, runs, many, storm int) error {
	s, err := server.New()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.Begin(ctx); err != nil {
		return err
	}
	b := bench{Server: s}
	if err := b.lab(ctx); err != nil {
		return err
	}
	if storm > 0 {
		return b.measureStorm(ctx, storm)
	}
	if err := b.measureCreate(ctx, runs); err != nil {
		return fmt.Errorf("whole load balancers: %w", err)
	}
	if err := b.measureMemberChange(ctx, runs); err != nil {
		return fmt.Errorf("member changes: %w", err)
	}
	if err := b.measureMany(ctx, many); err != nil {
		return fmt.Errorf("%d load balancers: %w", many, err)
	}
	return nil
}

// bench is a server with the playground.
type bench struct {
	*server.Server
	api     api
	servers []labServer
	made    []balancer // that are there now
}

// lab has the playground made.
func (b *bench) lab(ctx context.Context) error {
	if err := b.api.signIn(ctx, b.Server); err != nil {
		return err
	}
	if err := b.Run(ctx, "lab", "up"); err != nil {
		return err
	}
	var err error
	b.servers, err = b.api.labServers(ctx)
	return err
}

// measureCreate makes whole load balancers, one after the other: LB, listener, pool, two members, and then connects
// until the first byte arrives.
func (b *bench) measureCreate(ctx context.Context, runs int) error {
	var times []time.Duration
	for range runs {
		begin := time.Now()
		made, err := b.makeBalancer(ctx, 2)
		if err != nil {
			return err
		}
		if err := b.untilAnswer(ctx, made.address, ""); err != nil {
			return err
		}
		times = append(times, time.Since(begin))
		if err := b.deleteBalancer(ctx, made.id); err != nil {
			return err
		}
	}
	report("whole load balancer to first byte", times, 150*time.Millisecond)
	return nil
}

// measureMemberChange switches which of two members has weight, and connects until the other one answers.
func (b *bench) measureMemberChange(ctx context.Context, runs int) error {
	made, err := b.makeBalancer(ctx, 2)
	if err != nil {
		return err
	}
	var times []time.Duration
	for i := range runs {
		off, on := made.members[i%2], made.members[(i+1)%2]
		if err := b.setWeight(ctx, made.pool, on, 1); err != nil {
			return err
		}
		begin := time.Now()
		if err := b.setWeight(ctx, made.pool, off, 0); err != nil {
			return err
		}
		if err := b.untilAnswer(ctx, made.address, greeting(on)); err != nil {
			return err
		}
		times = append(times, time.Since(begin))
	}
	report("member change to effect", times, 50*time.Millisecond)
	return b.deleteBalancer(ctx, made.id)
}

// measureMany makes many load balancers in a network of their own, which the lab's router connects with their member.
func (b *bench) measureMany(ctx context.Context, many int) error {
	if err := b.api.makeLargeSubnet(ctx); err != nil {
		return err
	}
	free := freeMiB()
	if err := b.makeWhole(ctx, 1); err != nil {
		return err
	}
	if err := b.measurePackets(ctx, 0); err != nil {
		return err
	}
	begin := time.Now()
	if err := b.makeWhole(ctx, many-1); err != nil {
		return err
	}
	if err := b.untilAllAnswer(ctx); err != nil {
		return err
	}
	b.weigh(fmt.Sprintf("%d load balancers made in", many), time.Since(begin))
	fmt.Printf("%-36s %.2f MiB for each\n", "memory of the machine", float64(free-freeMiB())/float64(many))
	if err := b.measurePackets(ctx, many-1); err != nil {
		return err
	}
	begin = time.Now()
	if n, err := b.api.countBalancers(ctx); err != nil || n < many {
		return fmt.Errorf("%d load balancers are listed, want %d (%w)", n, many, err)
	}
	fmt.Printf("%-36s %v\n", "listed in", time.Since(begin).Round(time.Millisecond))
	if err := b.Kill(); err != nil {
		return err
	}
	begin = time.Now()
	if err := b.Start(ctx); err != nil {
		return err
	}
	if err := b.AwaitHealth(ctx); err != nil { // it says so while load balancers are still closed
		return err
	}
	b.weigh("all listen after kill -9 in", time.Since(begin))
	if err := b.untilAllAnswer(ctx); err != nil {
		return err
	}
	b.weigh("all have answered after", time.Since(begin))
	begin = time.Now()
	for len(b.made) > 0 {
		if err := b.deleteBalancer(ctx, b.made[len(b.made)-1].id); err != nil {
			return err
		}
	}
	if err := server.Until(ctx, func() error {
		n, err := b.api.countBalancers(ctx)
		if err == nil && n > 0 {
			err = fmt.Errorf("%d load balancers are left", n)
		}
		return err
	}); err != nil {
		return err
	}
	b.weigh("all deleted in", time.Since(begin))
	return nil
}

// weigh says how long something took, and what the process is like afterwards.
func (b *bench) weigh(what string, took time.Duration) {
	cpu, _ := b.CPU()
	fmt.Printf("%-36s %v, %v of processor time since its start, resident %d MiB, %d descriptors, %d left\n", what,
		took.Round(time.Millisecond), cpu, b.ResidentMiB(), b.Descriptors(), b.DescriptorLimit()-b.Descriptors())
}

// freeMiB is what the machine has free, as far as it could have more by dropping caches.
func freeMiB() (free int) {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(info)) {
		if _, err := fmt.Sscanf(line, "MemAvailable: %d kB", &free); err == nil {
			return free / 1024
		}
	}
	return -1
}

func report(what string, times []time.Duration, target time.Duration) {
	slices.Sort(times)
	at := func(q float64) time.Duration {
		return times[int(q*float64(len(times)-1))].Round(100 * time.Microsecond)
	}
	fmt.Printf("%-36s p50 %v  p99 %v  max %v  (target p99 %v, %d runs)\n", what, at(0.5), at(0.99), at(1), target, len(times))
}
