package proxy

import (
	"syscall"

	"poise/internal/dataplane/accesslog"
)

// relay moves what can be moved, in both directions, and waits for more.
func (c *conn) relay() {
	for _, source := range [2]int{kindClient, kindMember} {
		if failed, err := c.pump(source); err != 0 {
			_, _ = c.pump(1 - source) // what the other side said before it failed still counts
			c.fail(failed)
			return
		}
	}
	if c.flows[kindClient].done && c.flows[kindMember].done && !c.sides[kindClient].waits() && !c.sides[kindMember].waits() {
		c.close(orderly, accesslog.Complete)
		return
	}
	if !c.watchClient() {
		c.close(abort, accesslog.Stopped)
		return
	}
	c.loop.wheel.setBy(&c.timer, min(c.dueMs()))
}

// watchClient asks for the events that are needed. Until the member is connected nothing is; the member has all its events from
// its connect.
func (c *conn) watchClient() bool {
	events := c.sides[kindClient].needs()
	return events == 0 || c.watch(kindClient, events) == nil
}

// pump moves bytes from the side that is source to the other one until either is not ready, or has failed.
func (c *conn) pump(source int) (failed int, err syscall.Errno) {
	src, dst, d := &c.sides[source], &c.sides[1-source], &c.flows[source]
	if d.done {
		return 0, 0
	}
	defer d.rest(c.loop)
	for moved := 0; ; {
		switch {
		case d.pending() > 0:
			if !dst.writable {
				return 0, 0
			}
			if err := d.flush(c.loop, dst); err != 0 {
				return 1 - source, err
			}
		case src.eof:
			d.done = true
			if !c.flows[1-source].done || dst.stream != nil { // otherwise both are, and the close says it
				dst.shutdown()
			}
			return 0, 0
		case !src.readable:
			return 0, 0
		case moved >= turnBytes:
			c.queue()
			return 0, 0
		default:
			n, err := c.fill(source, d)
			if err != 0 {
				return source, err
			}
			if d.pipe == nil && n > 0 {
				if err := d.pass(c.loop, dst, c.loop.scratch[:n]); err != 0 {
					return 1 - source, err
				}
			}
			moved += n
			c.count(source, n)
		}
	}
}

// queue has the loop continue this connection after the others.
func (c *conn) queue() {
	if !c.queued {
		c.queued = true
		c.loop.goOnLater(c.payer(), c)
	}
}

func (c *conn) payer() *Server { return c.listener.server }

// goOn is called when the others had their turn.
func (c *conn) goOn() {
	c.queued = false
	if c.state == relaying {
		c.relay()
	}
}

func (c *conn) count(source, n int) {
	c.bytes[source] += uint64(n)
	if source == kindClient {
		c.listener.meter.BytesIn.Add(uint64(n))
		c.meter.BytesIn.Add(uint64(n))
		return
	}
	c.listener.meter.BytesOut.Add(uint64(n))
	c.meter.BytesOut.Add(uint64(n))
}

// fill reads once from src, into a pipe or the loop's scratch.
func (c *conn) fill(source int, d *direction) (int, syscall.Errno) {
	src := &c.sides[source]
	switch {
	case src.urgent || src.stream != nil || c.sides[1-source].stream != nil:
		d.release(c.loop) // nothing is pending; this is copied
	case d.streak >= spliceAfter && d.pipe == nil:
		d.pipe = c.loop.pipes.get()
	}
	if d.pipe != nil {
		return d.bulk(c.loop, src, pipeSize)
	}
	n, err := src.read(c.loop, c.loop.scratch[:])
	if n > 0 {
		d.note(n)
	}
	return n, err
}
