package node

import (
	"log/slog"

	"poise/internal/dataplane/datagram"
	"poise/internal/dataplane/loop"
	"poise/internal/dataplane/probe"
	"poise/internal/dataplane/proxy"
)

// Engines run the event loops that carry the traffic of every load balancer of this process.
type Engines struct {
	streams   *proxy.Engine
	datagrams *datagram.Engine
	checks    *probe.Budget // of the health of members
}

// StartEngines starts them. The caller closes them, after the node that uses them.
func StartEngines(log *slog.Logger) (*Engines, error) {
	descriptors, err := loop.OfProcess(log)
	if err != nil {
		return nil, err
	}
	checks, err := loop.ChecksOfProcess()
	if err != nil {
		return nil, err
	}
	streams, err := proxy.StartEngine(descriptors)
	if err != nil {
		return nil, err
	}
	datagrams, err := datagram.StartEngine(descriptors)
	if err != nil {
		streams.Close()
		return nil, err
	}
	return &Engines{streams, datagrams, probe.NewBudget(checks)}, nil
}

// Close ends the loops and waits for them.
func (e *Engines) Close() {
	e.datagrams.Close()
	e.streams.Close()
}
