// Command api measures what the Octavia API costs and how fast it answers, on SQLite: a real server with 100 load
// balancers, each with two listeners, two pools and ten members, is listed, shown and changed; then pools of thousands
// of members are. It prints a table with the targets, and fails when one is missed.
//
// The peer is a real Octavia, whose figures are constants here ([octavia]): it takes a message bus, a database server and
// several services to run one.
//
//	go run ./bench/api [-balancers 100] [-runs 300]
//
// It needs root.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"poise/bench/server"
	"poise/internal/testhost"
)

func main() {
	balancers := flag.Int("balancers", 100, "load balancers that are there")
	runs := flag.Int("runs", 300, "requests of each sort in a row")
	flag.Parse()
	os.Exit(testhost.Run(func() int {
		met, err := measure(context.Background(), *balancers, *runs)
		switch {
		case err != nil:
			fmt.Fprintln(os.Stderr, "error:", err)
			return 1
		case !met:
			fmt.Fprintln(os.Stderr, "error: a target is missed")
			return 1
		}
		return 0
	}))
}

// measure reports whether every target is met.
func measure(ctx context.Context, balancers, runs int) (met bool, err error) {
	s, err := server.New()
	if err != nil {
		return false, err
	}
	defer s.Close()
	if err := s.Begin(ctx); err != nil {
		return false, err
	}
	c, err := signIn(ctx, s)
	if err != nil {
		return false, err
	}
	b := bench{Server: s, client: c, runs: runs, met: true}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"load balancers", func(ctx context.Context) error { return b.populate(ctx, balancers) }},
		{"lists", b.lists},
		{"shows", b.shows},
		{"listeners", b.listeners},
		{"resident memory", b.resident},
		{"batches of members", b.batch},
		{"a member of a large pool", b.addMember},
	} {
		if err := step.do(ctx); err != nil {
			return false, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return b.met, nil
}
