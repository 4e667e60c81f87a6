package node

import (
	"log/slog"

	"poise/internal/dataplane/datagram"
	"poise/internal/dataplane/proxy"
)

// Engines run the event loops that carry the traffic of every load balancer of this process.
type Engines struct {
	streams   *proxy.Engine
	datagrams *datagram.Engine
}

// StartEngines starts them. The caller closes them, after the node that uses them.
func StartEngines(log *slog.Logger) (*Engines, error) {
	streams, err := proxy.StartEngine(log)
	if err != nil {
		return nil, err
	}
	datagrams, err := datagram.StartEngine(streams)
	if err != nil {
		streams.Close()
		return nil, err
	}
	return &Engines{streams, datagrams}, nil
}

// Close ends the loops and waits for them.
func (e *Engines) Close() {
	e.datagrams.Close()
	e.streams.Close()
}
