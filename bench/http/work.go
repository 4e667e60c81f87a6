package main

import (
	"time"

	"poise/bench/site"
)

// The listeners, at every load balancer; members serve portPlain.
const (
	portPlain    = 21811
	portPolicies = 21812 // with 20 policies of 3 rules, of which none matches
	portTLS      = 21813
)

// What members answer with.
const (
	smallSize = 125
	largeSize = 1_000_000
)

const concurrency = 64

func workloads(duration time.Duration, idle int) []site.Workload {
	perRequest := func(target string) []site.Unit {
		return []site.Unit{{Name: "us/request", Target: target}, {Name: "path us/request"}, {Name: "p99 us"}}
	}
	perGB := func(target string) []site.Unit {
		return []site.Unit{{Name: "s/GB", Target: target}, {Name: "path s/GB"}}
	}
	perConnection := func(target string) []site.Unit {
		return []site.Unit{{Name: "us/connection", Target: target}, {Name: "path us/connection"}}
	}
	return []site.Workload{ // idle first: memory that other work has left behind would hide what a connection needs
		{
			Name:    "idle",
			Units:   []site.Unit{{Name: "KiB/connection", Target: "poise <= 6"}, {Name: "descriptors/connection"}},
			Measure: site.HoldIdle("idle", idle, portPlain),
		},
		{Name: "kept", Units: perRequest("<= 0.90 of haproxy, p99 not above"), Measure: site.Timed("kept", 1e6, concurrency, portPlain, duration, 1)},
		{Name: "1 MB bodies", Units: perGB("<= 0.70 of haproxy"), Measure: site.Timed("bulk", 1e9, 8, portPlain, duration, 0)},
		{
			Name: "20 policies", Units: perRequest("<= 1.00 of haproxy"), Without: "nginx",
			Measure: site.Timed("kept", 1e6, concurrency, portPolicies, duration, 1),
		},
		{Name: "TLS full", Units: perConnection("<= 0.90 of haproxy"), Measure: site.Timed("full", 1e6, 16, portTLS, duration, 0)},
		{Name: "TLS resumed", Units: perConnection("<= 1.00 of haproxy"), Measure: site.Timed("resumed", 1e6, 16, portTLS, duration, 0)},
		{Name: "TLS 1 MB bodies", Units: perGB("<= 1.00 of haproxy"), Measure: site.Timed("bulk-tls", 1e9, 8, portTLS, duration, 0)},
		{Name: "TLS kept", Units: perRequest(""), Measure: site.Timed("kept-tls", 1e6, concurrency, portTLS, duration, 1)},
		{Name: "HTTP/2, 64 streams", Units: perRequest("<= 1.50 of haproxy")[:2], Measure: site.Timed("h2", 1e6, 64, portTLS, duration, 0)},
	}
}
