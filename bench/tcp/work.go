package main

import (
	"time"

	"poise/bench/site"
)

const (
	requestSize = 100
	answerSize  = 1024
	concurrency = 64
)

func workloads(duration time.Duration, idle int) []site.Workload {
	return []site.Workload{ // idle first: memory that other work has left behind would hide what a connection needs
		{
			Name:    "idle",
			Units:   []site.Unit{{Name: "KiB/connection", Target: "poise <= 8"}, {Name: "descriptors/connection"}},
			Measure: site.HoldIdle("idle", idle, portAnswer),
		},
		{
			Name:    "short",
			Units:   []site.Unit{{Name: "process us/connection", Target: "<= 1.30"}, {Name: "path us/connection"}},
			Measure: site.Timed("short", 1e6, concurrency, portAnswer, duration, 0),
		},
		{
			Name:    "kept",
			Units:   []site.Unit{{Name: "process us/request"}, {Name: "path us/request"}},
			Measure: site.Timed("kept", 1e6, concurrency, portAnswer, duration, 0),
		},
		{
			Name:    "bulk 1",
			Units:   []site.Unit{{Name: "process s/GB", Target: "<= 0.65"}, {Name: "path s/GB"}},
			Measure: site.Timed("bulk", 1e9, 1, portSource, duration, 0),
		},
		{
			Name:    "bulk 8",
			Units:   []site.Unit{{Name: "process s/GB", Target: "<= 0.65"}, {Name: "path s/GB"}},
			Measure: site.Timed("bulk", 1e9, 8, portSource, duration, 0),
		},
	}
}
