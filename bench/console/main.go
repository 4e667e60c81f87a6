// Command console measures what the web console costs: a real server with 100 load balancers, each with two listeners, two
// pools and ten members each, is looked at page by page, in the server's own time for each request; then 200 people leave the
// list open, first while nothing happens, then while load balancers change. It prints a table with the targets, and fails when
// one is missed.
//
// There is no peer: panels of other clouds ask their APIs for every page and again every few seconds, so that what they cost
// is a matter of the services behind them.
//
//	go run ./bench/console [-balancers 100] [-open 200] [-runs 60]
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
	open := flag.Int("open", 200, "people who leave the list open")
	runs := flag.Int("runs", 60, "times that each page is looked at")
	flag.Parse()
	os.Exit(testhost.Run(func() int {
		met, err := measure(context.Background(), *balancers, *open, *runs)
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
func measure(ctx context.Context, balancers, open, runs int) (met bool, err error) {
	s, err := server.New()
	if err != nil {
		return false, err
	}
	defer s.Close()
	if err := s.Begin(ctx); err != nil {
		return false, err
	}
	b := bench{Server: s, runs: runs, met: true}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"load balancers", func(ctx context.Context) error { return b.populate(ctx, balancers) }},
		{"signing in", b.signIn},
		{"pages", b.pages},
		{"open pages", func(ctx context.Context) error { return b.stayOpen(ctx, open) }},
	} {
		if err := step.do(ctx); err != nil {
			return false, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return b.met, nil
}
