package main

import (
	"time"

	"poise/bench/site"
)

const (
	questionSize = 64
	answerSize   = 200 // a name server's
	burst        = 32  // datagrams that answer one question
	burstSize    = 1200
	concurrency  = 64
)

func workloads(duration time.Duration) []site.Workload {
	units := func(of, target string) []site.Unit {
		return []site.Unit{{Name: "process us/" + of, Target: target}, {Name: "path us/" + of}, {Name: "answered of 1000"}}
	}
	return []site.Workload{
		{
			Name: "kept", Units: units("exchange", "<= 1.00"), // by one flow for each client
			Measure: site.Timed("kept", 1e6, concurrency, portAnswer, duration, 1),
		},
		{
			Name: "new", Units: units("exchange", "<= 1.00"), // each from another port
			Measure: site.Timed("new", 1e6, concurrency, portOnce, duration, 1),
		},
		{
			Name: "burst", Units: units("answer", "<= 1.00"),
			Measure: site.Timed("burst", 1e6, concurrency/8, portBurst, duration, 1),
		},
	}
}
