package main

import (
	"strconv"
	"time"
)

const (
	requestSize = 100
	answerSize  = 1024
	concurrency = 64
	settleTime  = 300 * time.Millisecond // after which counters and memory are at rest
)

func workloads(duration time.Duration, idle int) []workload {
	return []workload{ // idle first: memory that other work has left behind would hide what a connection needs
		{"idle", []unit{{"KiB/connection", "poise <= 8"}, {"descriptors/connection", ""}}, holdIdle(idle)},
		{
			"short",
			[]unit{{"process us/connection", "<= 1.30"}, {"path us/connection", ""}},
			timed("short", 1e6, concurrency, portAnswer, duration),
		},
		{
			"kept",
			[]unit{{"process us/request", ""}, {"path us/request", ""}},
			timed("kept", 1e6, concurrency, portAnswer, duration),
		},
		{
			"bulk 1",
			[]unit{{"process s/GB", "<= 0.65"}, {"path s/GB", ""}},
			timed("bulk", 1e9, 1, portSource, duration),
		},
		{
			"bulk 8",
			[]unit{{"process s/GB", "<= 0.65"}, {"path s/GB", ""}},
			timed("bulk", 1e9, 8, portSource, duration),
		},
	}
}

// timed runs clients for a while; the costs are the CPU seconds of the load balancer's process and of the whole path
// for so many units.
func timed(kind string, units float64, clients, port int, duration time.Duration) func(*site, *process) ([]float64, error) {
	return func(s *site, through *process) ([]float64, error) {
		process, err := through.cpu()
		if err != nil {
			return nil, err
		}
		path, err := s.pathCPU(through)
		if err != nil {
			return nil, err
		}
		c, err := s.startClient(kind, through.at(port), strconv.Itoa(clients), duration.String())
		if err != nil {
			return nil, err
		}
		done, err := c.number()
		c.stop()
		if err != nil {
			return nil, err
		}
		time.Sleep(settleTime)
		processAfter, err := through.cpu()
		if err != nil {
			return nil, err
		}
		pathAfter, err := s.pathCPU(through)
		return []float64{
			(processAfter - process).Seconds() * units / done,
			(pathAfter - path).Seconds() * units / done,
		}, err
	}
}

// holdIdle has a client open connections that have carried a request and then rest; the process is compared with
// itself at its start.
func holdIdle(n int) func(*site, *process) ([]float64, error) {
	return func(s *site, through *process) ([]float64, error) {
		c, err := s.startClient("idle", through.at(portAnswer), strconv.Itoa(n))
		if err != nil {
			return nil, err
		}
		defer c.stop()
		if _, err := c.number(); err != nil {
			return nil, err
		}
		time.Sleep(settleTime)
		kilobytes, err := through.residentKB()
		if err != nil {
			return nil, err
		}
		descriptors, err := through.descriptors()
		return []float64{
			(kilobytes - through.startKB) / float64(n),
			(descriptors - through.startDescriptors) / float64(n),
		}, err
	}
}
