package control

import (
	"context"
	"fmt"
	"time"

	"poise/internal/dataplane"
	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/link"
)

// reconcile brings one load balancer from its intent to the node, and from the node's report to its statuses.
func (c *Control) reconcile(ctx context.Context, id string) error {
	snapshot, err := c.store.Snapshot(ctx, id)
	switch {
	case lb.CodeOf(err) == lb.NotFound && c.isAbandoned(id):
		return c.takeAway(ctx, id)
	case lb.CodeOf(err) == lb.NotFound:
		c.forget(id)
		return c.node.Remove(ctx, id)
	case err != nil:
		return err
	case snapshot.Tree.Deleted:
		err = c.takeAway(ctx, id)
	default:
		err = c.apply(ctx, snapshot.Tree)
	}
	generation, reason := snapshot.Tree.Generation, ""
	if err != nil {
		reason = c.failed.note(id, generation, err)
	}
	if c.observe(snapshot, generation, reason).Equal(snapshot.Observed) { // as after most restarts: no transaction
		return err
	}
	var before lb.Snapshot
	after, observeErr := c.store.Observe(ctx, id, func(now lb.Snapshot) lb.Observation {
		before = now
		return c.observe(now, generation, reason)
	})
	if observeErr == nil && after.Tree != nil {
		c.memory.Note(before.Tree, before.Observed, after.Observed, time.Now().UTC())
	}
	if err != nil {
		return err
	}
	return observeErr
}

// takeAway removes what a deleted load balancer has on the node and in the network.
func (c *Control) takeAway(ctx context.Context, id string) error {
	if err := c.node.Remove(ctx, id); err != nil {
		return fmt.Errorf("removal from the node: %w", err)
	}
	if err := c.network.ReleaseVIP(ctx, id); err != nil {
		return fmt.Errorf("release of the VIP: %w", err)
	}
	c.forget(id)
	return nil
}

func (c *Control) forget(id string) {
	c.stats.forget(id)
	c.memory.Forget(id)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.served, id)
	delete(c.reports, id)
	delete(c.replug, id)
	delete(c.rings, id)
	delete(c.plugged, id)
	delete(c.foretold, id)
	delete(c.abandoned, id)
	delete(c.stale, id)
}

// apply has the node serve the tree with what it refers to in the key manager, unless it does already.
func (c *Control) apply(ctx context.Context, t *lb.LoadBalancer) error {
	c.mu.Lock()
	served, replug, stale, ring := c.served[t.ID], c.replug[t.ID], c.stale[t.ID], c.rings[t.ID]
	if served == t.Generation && !stale {
		c.mu.Unlock()
		return nil
	}
	// All are said beforehand, so that neither an AttachmentChanged, a Failover nor a changed secret meanwhile is lost.
	c.served[t.ID] = t.Generation
	delete(c.replug, t.ID)
	delete(c.stale, t.ID)
	c.applying[t.ID] = true
	c.mu.Unlock()
	next := c.readSecrets(ctx, t, ring, stale)
	var err error
	if served != t.Generation || !next.equal(ring) {
		err = c.attachAndApply(ctx, t, next, replug)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.applying, t.ID)
	c.rings[t.ID] = next
	if err == nil {
		return nil
	}
	delete(c.served, t.ID)
	if replug {
		c.replug[t.ID] = true
	}
	return err
}

func (c *Control) attachAndApply(ctx context.Context, t *lb.LoadBalancer, ring *keyring, replug bool) error {
	subnets := memberSubnets(t)
	ports, plain := c.takeForetold(t, subnets)
	if !plain {
		var err error
		if ports, err = c.attach(ctx, t, subnets); err != nil {
			return err
		}
	}
	err := c.node.Apply(ctx, link.Assignment{
		LoadBalancerID: t.ID, Generation: t.Generation, Ports: ports, Replug: replug, Config: c.config(t, ring),
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.plugged[t.ID] = ports
	c.mu.Unlock()
	if plain {
		return nil
	}
	// Only now is nothing plugged there any more.
	if err := c.network.DetachMembers(ctx, t.ID, t.VIP, subnets); err != nil {
		return fmt.Errorf("ports in subnets without members: %w", err)
	}
	return nil
}

// attach has the network service make the load balancer's ports ready to be plugged.
func (c *Control) attach(ctx context.Context, t *lb.LoadBalancer, subnets []string) ([]fabric.Port, error) {
	port, err := c.network.AttachVIP(ctx, t.VIP)
	if err != nil {
		return nil, err
	}
	others, err := c.network.AttachMembers(ctx, t.ID, t.VIP, subnets)
	if err != nil {
		return nil, fmt.Errorf("ports in the members' subnets: %w", err)
	}
	return append([]fabric.Port{port}, others...), nil
}

// foretold is how the VIP of a generation is plugged; nil: unknown.
type foretold struct {
	generation int64
	port       *fabric.Port
}

// foretell asks the network service about all VIPs together: asked one by one, that is most of a start's time. What
// changes before the answer is here has deleted its entry by then (Reapply), so that it is not filled in.
func (c *Control) foretell(ctx context.Context, all []lb.Snapshot) error {
	vips := make(map[string]lb.VIP, len(all))
	c.mu.Lock()
	for _, s := range all {
		if !s.Tree.Deleted {
			vips[s.Tree.ID] = s.Tree.VIP
			c.foretold[s.Tree.ID] = foretold{generation: s.Tree.Generation}
		}
	}
	c.mu.Unlock()
	ports, err := c.network.AttachPlainVIPs(ctx, vips)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, one := range c.foretold {
		port, known := ports[id]
		if !known {
			delete(c.foretold, id)
			continue
		}
		one.port = &port
		c.foretold[id] = one
	}
	return nil
}

// takeForetold is the load balancer's only port, if that was foretold for this generation.
func (c *Control) takeForetold(t *lb.LoadBalancer, memberSubnets []string) (ports []fabric.Port, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := c.foretold[t.ID]
	delete(c.foretold, t.ID)
	if one.port == nil || one.generation != t.Generation || len(memberSubnets) > 0 {
		return nil, false
	}
	return []fabric.Port{*one.port}, true
}

// config is what the node is to serve, within the operator's limits.
func (c *Control) config(t *lb.LoadBalancer, ring *keyring) dataplane.Config {
	config := compile(t, ring, uncarried(t, ring))
	for i := range config.Listeners {
		if requests := config.Listeners[i].HTTP; requests != nil {
			requests.Limits = c.RequestLimits
		}
	}
	return config
}

// observe is the observation after an attempt to apply a generation; failure is "" when the node has acknowledged it.
func (c *Control) observe(s lb.Snapshot, generation int64, failure string) lb.Observation {
	observed := s.Observed
	if failure != "" {
		observed.FailedIn, observed.Failure = generation, failure
		return observed
	}
	observed.Applied = max(observed.Applied, generation)
	if observed.FailedIn <= observed.Applied {
		observed.FailedIn, observed.Failure = 0, ""
	}
	if tree := s.Tree.Purge(observed.Applied); tree != nil {
		observed.Status = lb.Rollup(tree, c.seen(tree), observed.Status, time.Now().UTC())
	}
	return observed
}

// seen is the node's last report about a tree in the domain's words.
func (c *Control) seen(t *lb.LoadBalancer) lb.Seen {
	c.mu.Lock()
	report, ring, ports := c.reports[t.ID], c.rings[t.ID], c.plugged[t.ID]
	c.mu.Unlock()
	if ring == nil { // nothing has been read yet
		ring = &keyring{}
	}
	seen := lb.Seen{
		Listeners: map[string]lb.SeenListener{}, Members: map[string]lb.SeenMember{},
		Uncarried: uncarried(t, ring), Doubtful: doubtful(t, ring, time.Now()), Unreachable: unreachable(t, ports),
	}
	for id, l := range report.Listeners {
		seen.Listeners[id] = lb.SeenListener{Listening: l.Listening, Full: l.Full, Reason: l.Reason, Trouble: l.Trouble}
	}
	for _, h := range report.Health {
		seen.Members[h.MemberID] = lb.SeenMember{
			Checked: h.State != dataplane.HealthUnchecked, Up: h.State == dataplane.HealthUp, Reason: h.Reason,
		}
	}
	return seen
}
