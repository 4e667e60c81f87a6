// Package control is the control plane: it commits changes of load balancers, and drives nodes until they serve what
// was committed.
//
// Intent comes in through [Control.Create] and [Control.Change]: one transaction, and the id of the load balancer goes
// into a queue. A worker takes it out, compiles the tree into an assignment, has the node apply it, and writes down
// the generation that the node has acknowledged. What fails is tried again, with growing pauses, for as long as
// it takes; the load balancer meanwhile says why. Since every step is a comparison of what should be with what
// is, a step may be lost or repeated at any moment: at start everything is simply queued.
//
// Observation comes in through [Control.Report]: the node's report waits in memory for a worker, which rolls it up
// into operating statuses.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"poise/internal/dataplane"
	"poise/internal/dataplane/accesslog"
	"poise/internal/fabric"
	"poise/internal/lb"
	"poise/internal/link"
	"poise/internal/rest"
	"poise/internal/store"
	"poise/internal/telemetry"
)

const (
	// workers is how many load balancers are driven at the same time.
	workers = 8
	// attemptTimeout bounds one attempt to apply a load balancer.
	attemptTimeout = time.Minute
	// resyncInterval is how often changes are looked for that nobody told this process.
	resyncInterval = 5 * time.Second
	// cleanupTimeout bounds the release of a VIP whose load balancer could not be created.
	cleanupTimeout = 10 * time.Second
)

// Network is what the control plane needs of the network service.
type Network interface {
	// CreateVIP makes or takes the port of a load balancer's VIP.
	CreateVIP(ctx context.Context, caller rest.Caller, request lb.VIPRequest) (lb.VIP, error)
	// ReleaseVIP deletes or frees the ports of a load balancer; it is fine when there are none.
	ReleaseVIP(ctx context.Context, loadBalancerID string) error
	// VIPOwners are the ids of the load balancers that have ports.
	VIPOwners(ctx context.Context) ([]string, error)
	// AttachVIP brings a VIP's port to the VIP's options and says how it is plugged.
	AttachVIP(ctx context.Context, vip lb.VIP) (fabric.Port, error)
	// AttachPlainVIPs says how VIPs are plugged, by load balancer, with a few queries for all. Missing are load balancers
	// with further ports, with a filter, or with options that the port does not have yet.
	AttachPlainVIPs(ctx context.Context, vips map[string]lb.VIP) (map[string]fabric.Port, error)
	// AttachMembers gives a load balancer a port in each of its members' subnets, as far as it can have one.
	AttachMembers(ctx context.Context, loadBalancerID string, vip lb.VIP, subnetIDs []string) ([]fabric.Port, error)
	// DetachMembers deletes those that it has in other subnets.
	DetachMembers(ctx context.Context, loadBalancerID string, vip lb.VIP, subnetIDs []string) error
	// CheckMember refuses an address at which no member may be, or be checked.
	CheckMember(at netip.AddrPort) error
	// SubnetVisible refuses a subnet that the caller cannot see.
	SubnetVisible(ctx context.Context, caller rest.Caller, subnetID string) error
	// VIPOptionsVisible refuses a QoS policy or a security group that the caller cannot see.
	VIPOptionsVisible(ctx context.Context, caller rest.Caller, options lb.VIPOptions) error
}

// Control is the control plane of one poise.
type Control struct {
	store   *store.Store
	network Network
	secrets Secrets
	node    link.Node
	log     *slog.Logger
	queue   *queue
	failed  failures
	stats   *statistics
	memory  *telemetry.Memory

	// RequestLimits are those of every HTTP listener. They are set before Run.
	RequestLimits dataplane.Limits

	watchers watchers

	// released is closed once the ports of load balancers that are gone are released. Until then none is created: its
	// port, which comes first, would be taken for one of those.
	released chan struct{}

	onAttempt func(took time.Duration, err error) // see OnAttempt

	wakeSecrets chan struct{} // holds a token while changedSecrets has something to look at

	mu      sync.Mutex       // guards what follows
	served  map[string]int64 // the generation that the node serves, as far as this process has seen to it
	reports map[string]link.Report
	replug  map[string]bool     // whose ports the node has to make sure of, even where it has them already
	rings   map[string]*keyring // what the node serves with
	plugged map[string][]fabric.Port
	// foretold is how VIPs are plugged, by load balancer. It is read at the start for all together, and the first attempt
	// takes it. A change in the meantime deletes the load balancer's entry.
	foretold  map[string]foretold
	abandoned map[string]bool // load balancers that were not made, and whose port could not be released
	stale     map[string]bool // whose secrets have to be read again
	// applying are the load balancers that a worker applies, and whose reports it rolls up afterwards.
	applying map[string]bool

	recovered bool            // opening is known
	opening   map[string]bool // of before the start, and not tried yet

	changedSecrets map[string]bool // by id: to be looked at
	lookedAt       time.Time       // when certificates were last compared with the calendar
}

// New returns a control plane; nothing happens before [Control.Run].
func New(s *store.Store, network Network, secrets Secrets, node link.Node, log *slog.Logger) *Control {
	return &Control{
		store: s, network: network, secrets: secrets, node: node, log: log, queue: newQueue(), stats: newStatistics(s, node),
		failed:    failures{all: map[string]*failure{}},
		memory:    telemetry.New(),
		onAttempt: func(time.Duration, error) {},
		released:  make(chan struct{}), wakeSecrets: make(chan struct{}, 1),
		served: map[string]int64{}, reports: map[string]link.Report{},
		replug: map[string]bool{}, rings: map[string]*keyring{}, plugged: map[string][]fabric.Port{}, stale: map[string]bool{},
		applying: map[string]bool{}, foretold: map[string]foretold{}, abandoned: map[string]bool{},
		changedSecrets: map[string]bool{}, lookedAt: time.Now(),
	}
}

// Run drives the node until ctx ends. At start it brings everything back: what no load balancer owns any more is
// taken away, and each load balancer is applied.
func (c *Control) Run(ctx context.Context) error {
	for pause := firstRetry; ; pause = min(2*pause, lastRetry) {
		err := c.recover(ctx)
		if err == nil {
			break
		}
		if pause == firstRetry && ctx.Err() == nil {
			c.log.WarnContext(ctx, "load balancers stay closed until they can be read", "err", err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	for range workers {
		group.Go(func() error { c.work(ctx); return nil })
	}
	group.Go(func() error { return c.stats.run(ctx, c.log) })
	group.Go(func() error { c.resync(ctx); return nil })
	group.Go(func() error { c.sample(ctx); return nil })
	group.Go(func() error { c.watchSecrets(ctx); return nil })
	return group.Wait()
}

// resync queues, from time to time, what no node has acknowledged: changes of other processes on the same database, and
// commits that succeeded although their answer was lost.
func (c *Control) resync(ctx context.Context) {
	ticker := time.NewTicker(resyncInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		all, err := c.store.List(ctx, "")
		if err != nil && ctx.Err() == nil {
			c.log.WarnContext(ctx, "changes of other processes are not looked for this time", "err", err)
		}
		for _, s := range all {
			if s.Observed.Applied < s.Tree.Generation && !c.failed.waits(s.Tree.ID, s.Tree.Generation) {
				c.queue.add(s.Tree.ID)
			}
		}
	}
}

// recover compares the node and the network service with the store, and queues every load balancer.
func (c *Control) recover(ctx context.Context) error {
	all, err := c.store.List(ctx, "")
	if err != nil {
		return err
	}
	known := map[string]bool{}
	keep := make([]string, 0, len(all))
	for _, s := range all {
		known[s.Tree.ID] = true
		keep = append(keep, s.Tree.ID)
	}
	owners, err := c.network.VIPOwners(ctx)
	if err != nil {
		return fmt.Errorf("owners of VIP ports: %w", err)
	}
	if err := c.foretell(ctx, all); err != nil {
		return fmt.Errorf("ports of all VIPs: %w", err)
	}
	for _, owner := range owners {
		if known[owner] {
			continue
		}
		if err := c.network.ReleaseVIP(ctx, owner); err != nil {
			return fmt.Errorf("VIP of a load balancer that is gone: %w", err)
		}
	}
	close(c.released)
	if err := c.node.Prune(ctx, keep); err != nil {
		c.log.WarnContext(ctx, "leftovers on the node stay for now", "err", err)
	}
	c.mu.Lock()
	c.recovered, c.opening = true, maps.Clone(known)
	c.mu.Unlock()
	busy, err := c.store.Busy(ctx) // whose clients wait
	if err != nil {
		c.log.WarnContext(ctx, "load balancers with traffic do not come first", "err", err)
	}
	for _, id := range append(busy, keep...) {
		if known[id] {
			c.queue.add(id)
		}
	}
	return nil
}

// work applies queued load balancers, one after the other.
func (c *Control) work(ctx context.Context) {
	for {
		id, ok := c.queue.next(ctx)
		if !ok {
			return
		}
		begin := time.Now()
		err := c.attempt(ctx, id)
		c.tried(id)
		c.onAttempt(time.Since(begin), err)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			c.retry(ctx, id, err)
		default:
			if attempts := c.failed.end(id); attempts > 0 {
				c.log.InfoContext(ctx, "load balancer is applied after all", "load_balancer", id, "failed_attempts", attempts)
			}
		}
		c.queue.done(id)
	}
}

// retry has a load balancer tried again after a pause. The log has one line for each reason, not for each attempt: thousands may
// fail for as long as it takes.
func (c *Control) retry(ctx context.Context, id string, err error) {
	c.failed.note(id, 0, err)
	pause, fresh := c.failed.pause(id)
	if fresh != "" {
		c.log.WarnContext(ctx, "load balancer could not be applied; it is tried again with growing pauses",
			"load_balancer", id, "next_in", pause, "most", lastRetry, "err", fresh)
	}
	c.queue.addAfter(id, pause)
}

// OnAttempt says who is told of each attempt to apply a load balancer. It must be called before Run.
func (c *Control) OnAttempt(tell func(took time.Duration, err error)) { c.onAttempt = tell }

func (c *Control) tried(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.opening, id)
}

// Opening is how many load balancers of before the start were not tried yet; false before that is known.
func (c *Control) Opening() (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.opening), c.recovered
}

// QueueLength is how many load balancers wait to be looked at.
func (c *Control) QueueLength() int { return c.queue.length() }

// attempt reconciles one load balancer in bounded time, so that a call that hangs does not keep a worker for good.
func (c *Control) attempt(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return c.reconcile(ctx, id)
}

// Report takes a node's report (link.Reporter). One that says nothing new is dropped; one that comes while the load balancer is
// applied is rolled up when that ends.
func (c *Control) Report(r link.Report) {
	c.mu.Lock()
	same := reflect.DeepEqual(c.reports[r.LoadBalancerID], r)
	c.reports[r.LoadBalancerID] = r
	applying := c.applying[r.LoadBalancerID]
	c.mu.Unlock()
	if !same && !applying {
		c.queue.add(r.LoadBalancerID)
	}
}

// AttachmentChanged has a load balancer plugged anew: its port's addresses or floating IPs have changed. A device is
// named as in its port's device_id; those that are no load balancers are somebody else's.
func (c *Control) AttachmentChanged(deviceID string) {
	loadBalancerID, isBalancer := strings.CutPrefix(deviceID, "lb-")
	if isBalancer {
		c.Reapply(loadBalancerID)
	}
}

// Reapply applies a load balancer as it is once more.
func (c *Control) Reapply(id string) {
	c.mu.Lock()
	delete(c.served, id)
	delete(c.foretold, id)
	c.mu.Unlock()
	c.queue.add(id)
}

// Failover applies a load balancer from scratch, ports included, as a generation of its own. Connections stay: whatever
// is as it should be is not touched.
func (c *Control) Failover(ctx context.Context, id string) (lb.Snapshot, error) {
	snapshot, err := c.store.Change(ctx, id, (*lb.LoadBalancer).Failover)
	if err != nil {
		return lb.Snapshot{}, err
	}
	c.mu.Lock()
	c.replug[id] = true
	c.mu.Unlock()
	c.Reapply(id)
	return snapshot, nil
}

// Snapshot reads one load balancer.
func (c *Control) Snapshot(ctx context.Context, id string) (lb.Snapshot, error) {
	return c.store.Snapshot(ctx, id)
}

// Holder reads the load balancer that holds the object of this kind and id.
func (c *Control) Holder(ctx context.Context, kind lb.Kind, id string) (lb.Snapshot, error) {
	return c.store.Holder(ctx, kind, id)
}

// List reads the load balancers of a project, of all projects when projectID is "".
func (c *Control) List(ctx context.Context, projectID string) ([]lb.Snapshot, error) {
	return c.store.List(ctx, projectID)
}

// SubnetVisible refuses a subnet that the caller cannot see.
func (c *Control) SubnetVisible(ctx context.Context, caller rest.Caller, subnetID string) error {
	return c.network.SubnetVisible(ctx, caller, subnetID)
}

// VIPOptionsVisible refuses a QoS policy or a security group that the caller cannot see.
func (c *Control) VIPOptionsVisible(ctx context.Context, caller rest.Caller, options lb.VIPOptions) error {
	return c.network.VIPOptionsVisible(ctx, caller, options)
}

// Counters reads the statistics of a load balancer's listeners by their ids.
func (c *Control) Counters(ctx context.Context, id string) (map[string]lb.Counters, error) {
	return c.stats.read(ctx, id)
}

// FollowLog follows the access log of a listener until ctx ends; nil when it is not served.
func (c *Control) FollowLog(ctx context.Context, loadBalancerID, listenerID string) *accesslog.Follower {
	return c.node.FollowLog(ctx, loadBalancerID, listenerID)
}

// Create allocates the VIP and makes the load balancer. A crash between the two leaves a port without a load balancer,
// which the next start releases.
func (c *Control) Create(ctx context.Context, caller rest.Caller, in lb.LoadBalancerCreate, vip lb.VIPRequest) (lb.Snapshot, error) {
	if err := lb.CheckProvider(in.Provider); err != nil { // before anything is allocated
		return lb.Snapshot{}, err
	}
	select {
	case <-c.released:
	case <-ctx.Done():
		return lb.Snapshot{}, fmt.Errorf("waiting for the control plane's start: %w", ctx.Err())
	}
	address, err := c.network.CreateVIP(ctx, caller, vip)
	if err != nil {
		return lb.Snapshot{}, err
	}
	in.VIP = address
	snapshot, err := c.insert(ctx, in)
	if err != nil {
		if releaseErr := c.releaseUnused(ctx, in.ID); releaseErr != nil {
			err = errors.Join(err, releaseErr)
			c.abandon(in.ID)
		}
		return lb.Snapshot{}, err
	}
	c.queue.add(in.ID)
	return snapshot, nil
}

// abandon has the port of a load balancer that does not exist released as soon as that is possible: the disk may be full.
func (c *Control) abandon(id string) {
	c.mu.Lock()
	c.abandoned[id] = true
	c.mu.Unlock()
	c.queue.add(id)
}

func (c *Control) isAbandoned(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.abandoned[id]
}

// releaseUnused releases the VIP of a load balancer that could not be created. When its commit succeeded and only the
// answer was lost, the load balancer is there and keeps it.
func (c *Control) releaseUnused(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
	defer cancel()
	if _, err := c.store.Snapshot(ctx, id); lb.CodeOf(err) != lb.NotFound {
		return err
	}
	return c.network.ReleaseVIP(ctx, id)
}

func (c *Control) insert(ctx context.Context, in lb.LoadBalancerCreate) (lb.Snapshot, error) {
	tree, err := lb.NewLoadBalancer(in, time.Now())
	if err != nil {
		return lb.Snapshot{}, err
	}
	if err := c.checkMembers(tree); err != nil {
		return lb.Snapshot{}, err
	}
	return c.store.Create(ctx, tree)
}

// checkMembers asks the network service about the members that this generation has added or changed.
func (c *Control) checkMembers(t *lb.LoadBalancer) error {
	for _, p := range t.Pools {
		for _, m := range p.Members {
			if m.Deleted || m.ChangedIn != t.Generation {
				continue
			}
			compiled := compileMember(m)
			for _, at := range []netip.AddrPort{compiled.Address, compiled.Probe} {
				if err := c.network.CheckMember(at); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Change commits one change of a load balancer's tree; change may be called more than once.
func (c *Control) Change(ctx context.Context, id string, change func(*lb.LoadBalancer) error) (lb.Snapshot, error) {
	snapshot, err := c.store.Change(ctx, id, func(t *lb.LoadBalancer) error {
		if err := change(t); err != nil {
			return err
		}
		return c.checkMembers(t)
	})
	if err != nil {
		return lb.Snapshot{}, err
	}
	c.queue.add(id)
	return snapshot, nil
}
