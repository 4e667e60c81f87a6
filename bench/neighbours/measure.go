package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"poise/bench/server"
)

// maxRatio is the highest 99th percentile of B beside an attack that is wanted, in control's.
const maxRatio = 1.5

// node is a server with A on it.
type node struct {
	*server.Server
	a *tenant
}

// place is where it is measured.
type place struct {
	options
	group    *cgroup
	attacked node // B is on this one
	control  node
	b        *tenant
}

func measure(ctx context.Context, o options) (err error) {
	p := &place{options: o}
	defer func() { err = errors.Join(err, p.close()) }()
	if p.group, err = newCgroup(o.cpu); err != nil {
		return fmt.Errorf("CPU cgroup: %w", err)
	}
	for _, n := range []*node{&p.attacked, &p.control} {
		if n.Server, err = server.New(); err != nil {
			return err
		}
		if err := n.Begin(ctx); err != nil {
			return err
		}
		if n.a, err = newTenant(ctx, n.Server, "a", p.group); err != nil {
			return err
		}
	}
	if p.b, err = newTenant(ctx, p.attacked.Server, "b", nil); err != nil {
		return err
	}
	return p.measureAll(ctx)
}

func (p *place) close() (err error) {
	err = errors.Join(p.b.close(), p.attacked.a.close(), p.control.a.close())
	for _, n := range []node{p.attacked, p.control} {
		if n.Server != nil {
			n.Close()
		}
	}
	if p.group != nil {
		err = errors.Join(err, p.group.close())
	}
	return err
}

// result is what B's client has seen.
type result struct {
	requests, failures int
	p50, p99           time.Duration
	first              string // of the failures
	did                string // what the attacker has done meanwhile
}

func (r result) String() string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%7.1f %7.1f %5d", ms(r.p50), ms(r.p99), r.failures)
}

// measureB times B's requests.
func (p *place) measureB() (r result, err error) {
	c, err := start(p.b.client, nil, "client", p.b.at(webPort), p.duration.String())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	line, err := c.line()
	if err != nil {
		return r, err
	}
	var p50, p99 int64
	_, err = fmt.Sscanf(line, "%d %d %d %d", &r.requests, &r.failures, &p50, &p99)
	r.p50, r.p99 = time.Duration(p50)*time.Microsecond, time.Duration(p99)*time.Microsecond
	if r.failures > 0 {
		r.first = line[strings.IndexByte(line, '"'):]
	}
	return r, err
}

// measureBeside times B's requests while A of a node attacks.
func (p *place) measureBeside(ctx context.Context, a attack, n node) (r result, err error) {
	end, err := a.begin(ctx, n.a, p.group)
	if err != nil {
		return r, err
	}
	r, err = p.measureB()
	did, endErr := end()
	r.did = did
	return r, errors.Join(err, endErr)
}

// measureAll measures every attack, and fails when one costs B more than is wanted.
func (p *place) measureAll(ctx context.Context) error {
	fmt.Printf("%-20s %-21s   %-21s   %-21s\n", "", "quiet", "attacked", "control")
	fmt.Printf("%-20s %21s   %21s   %21s   %6s\n", "ms", "p50     p99  fail", "p50     p99  fail", "p50     p99  fail", "ratio")
	var missed []string
	for _, a := range attacks() {
		if !strings.Contains(a.name, p.only) {
			continue
		}
		why, err := p.compare(ctx, a)
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		if why != "" {
			missed = append(missed, a.name+": "+why)
		}
	}
	if len(missed) > 0 {
		return fmt.Errorf("a neighbour costs more than is wanted (no failure, p99 at most %.1f of the control's):\n  %s", maxRatio, strings.Join(missed, "\n  "))
	}
	return nil
}

// compare measures one attack, and says what is not as wanted.
func (p *place) compare(ctx context.Context, a attack) (missed string, err error) {
	if a.prepare != nil {
		for _, n := range []node{p.attacked, p.control} {
			if err := a.prepare(ctx, n.a); err != nil {
				return "", err
			}
		}
	}
	var quiet, attacked, control []result
	var ratios []float64
	for round := range p.rounds {
		q, err := p.measureB()
		if err != nil {
			return "", err
		}
		both := [2]result{}
		for i := range both {
			which := (i + round) % 2 // who goes first changes
			if both[which], err = p.measureBeside(ctx, a, []node{p.attacked, p.control}[which]); err != nil {
				return "", err
			}
		}
		quiet, attacked, control = append(quiet, q), append(attacked, both[0]), append(control, both[1])
		ratios = append(ratios, float64(both[0].p99)/float64(both[1].p99))
	}
	slices.Sort(ratios)
	ratio, worst := ratios[len(ratios)/2], middle(attacked)
	fmt.Printf("%-20s %v   %v   %v   %6.2f  %s, control %s\n", a.name, middle(quiet), worst, middle(control), ratio, worst.did, middle(control).did)
	if worst.failures > 0 {
		return fmt.Sprintf("%d of %d requests failed, the first with %s", worst.failures, worst.requests, worst.first), nil
	}
	if ratio > maxRatio {
		return fmt.Sprintf("p99 is %.2f of the control's", ratio), nil
	}
	return "", nil
}

// middle is the result with the median p99, with the requests and failures of all.
func middle(all []result) result {
	sorted := slices.SortedFunc(slices.Values(all), func(a, b result) int { return int(a.p99 - b.p99) })
	r := sorted[len(sorted)/2]
	r.requests, r.failures = 0, 0
	for _, one := range all {
		r.requests, r.failures = r.requests+one.requests, r.failures+one.failures
		if r.first == "" {
			r.first = one.first
		}
	}
	return r
}
