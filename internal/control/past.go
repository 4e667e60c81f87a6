package control

import (
	"context"
	"slices"
	"time"

	"poise/internal/lb"
	"poise/internal/telemetry"
)

// Events are the last things that happened to a load balancer, the newest first.
func (c *Control) Events(loadBalancerID string) []telemetry.Event {
	return c.memory.Events(loadBalancerID)
}

// Series are the numbers of a load balancer's objects during the last hour.
func (c *Control) Series(tree *lb.LoadBalancer, now time.Time) (from time.Time, all []telemetry.Series) {
	return c.memory.Series(tree, now)
}

// Probes are the last health checks of a member, the newest first.
func (c *Control) Probes(loadBalancerID, poolID, memberID string) []telemetry.Probe {
	probes := []telemetry.Probe{}
	for _, p := range slices.Backward(c.node.History(loadBalancerID, poolID, memberID)) {
		probes = append(probes, telemetry.Probe{
			Time: p.Time.UTC(), Count: p.Count, OK: p.OK, Reason: p.Reason,
			DurationMs: float64(p.Duration.Microseconds()) / 1000, Changed: p.Changed,
		})
	}
	return probes
}

// sample remembers, from time to time, how much has gone through every load balancer.
func (c *Control) sample(ctx context.Context) {
	ticker := time.NewTicker(telemetry.Step)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			all, err := c.store.List(ctx, "")
			if err != nil && ctx.Err() == nil {
				c.log.WarnContext(ctx, "no numbers are remembered this time", "err", err)
			}
			for _, s := range all {
				c.memory.Record(s.Tree.ID, now, c.samplesOf(s.Tree.ID))
			}
		case <-ctx.Done():
			return
		}
	}
}

// samplesOf are what the node has counted for the listeners of a load balancer, and for its members over all listeners.
func (c *Control) samplesOf(loadBalancerID string) map[string]telemetry.Sample {
	samples := map[string]telemetry.Sample{}
	for id, n := range c.node.Counters(loadBalancerID) {
		samples[id] = telemetry.Sample{
			Active: n.Active, Connections: n.Total, Requests: n.Requests, Errors: n.Errors, BytesIn: n.BytesIn, BytesOut: n.BytesOut,
		}
	}
	for key, n := range c.node.Members(loadBalancerID) {
		sum := samples[key.MemberID]
		sum.Active += n.Active
		sum.Connections += n.Total
		sum.Requests += n.Requests
		sum.Errors += n.ConnectErrors + n.ResponseErrors
		sum.BytesIn += n.BytesIn
		sum.BytesOut += n.BytesOut
		samples[key.MemberID] = sum
	}
	return samples
}
