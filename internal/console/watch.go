package console

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"poise/internal/limit"
)

const (
	// Watches: each holds a project's load balancers in memory, once for each region and set of roles.
	maxWatches          = 500 // in all
	maxWatchesOfProject = 20
	maxWatchesOfUser    = 50
	// watchIdle ends a watch that no page has asked for in so long.
	watchIdle = 2 * time.Minute
	// pollEvery is how often a cloud is asked that has no route to watch load balancers.
	pollEvery = 5 * time.Second
	// firstPause and lastPause bound the pause before a lost watch is begun again; it doubles each time.
	firstPause = 200 * time.Millisecond
	lastPause  = 5 * time.Second
	// addressAge is how long floating IPs are believed without asking again.
	addressAge = 2 * time.Second
)

// errClosed says that the console is stopping.
var errClosed = errors.New("the console is stopping")

// watches keep, for each project of a region, what its load balancers are: one watch on the cloud for all open pages
// together, which fetches what changed once and tells the pages.
type watches struct {
	log *slog.Logger

	slots   *limit.Slots // of the watches
	streams *limit.Slots // of the pages that are told

	mu  sync.Mutex // guards what follows
	all map[watchKey]*watch

	stop    context.CancelFunc
	running sync.WaitGroup
	ctx     context.Context // ends with the console
}

// watchKey says who sees the same: people with the same roles in the same project.
type watchKey struct{ region, projectID, roles string }

func newWatches(log *slog.Logger) *watches {
	ctx, stop := context.WithCancel(context.Background())
	return &watches{
		log: log, slots: limit.NewSlots(maxWatches), streams: limit.NewSlots(maxStreams),
		all: map[watchKey]*watch{}, ctx: ctx, stop: stop,
	}
}

// close ends every watch and every stream, and waits for it.
func (w *watches) close() {
	w.stop()
	w.running.Wait()
}

// of is the watch for a cloud; it is begun when there is none.
func (w *watches) of(c *cloud) (*watch, error) {
	key := watchKey{c.region, c.Project.ID, strings.Join(c.Roles, ",")}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, errClosed
	}
	if found := w.all[key]; found != nil && !found.isOver() {
		found.use(c)
		return found, nil
	}
	release, err := c.acquire(w.slots, "lists of load balancers that are kept up to date", maxWatchesOfUser, maxWatchesOfProject)
	if err != nil {
		return nil, err
	}
	begun := &watch{watches: w, loaded: make(chan struct{}), balancers: map[string]*balancer{}, members: map[string][]member{}, pages: map[*stream]bool{}}
	begun.use(c)
	w.all[key] = begun
	w.running.Go(func() {
		defer release()
		begun.run(w.ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.all[key] == begun { // and not the next one
			delete(w.all, key)
		}
	})
	return begun, nil
}

// watch is what the load balancers of one project in one region are. It is filled by the first page that asks, and kept
// true by the cloud's own route for that or, where there is none, by looking again.
type watch struct {
	*watches
	fetching sync.Mutex // held while something is fetched, so that what is older never replaces what is newer

	mu        sync.Mutex    // guards what follows
	cloud     *cloud        // of whoever asked last
	used      time.Time     // when that was
	loaded    chan struct{} // closed once balancers or failed are there
	failed    error
	over      bool // nothing is followed any more
	balancers map[string]*balancer
	members   map[string][]member // by pool, as far as somebody has looked
	addresses map[string]floatingIP
	addressed time.Time // when addresses were read
	pages     map[*stream]bool
}

func (w *watch) use(c *cloud) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cloud, w.used = c, time.Now()
}

func (w *watch) user() *cloud {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cloud
}

// run keeps the watch true until ctx ends, nobody looks any more, or the cloud refuses.
func (w *watch) run(ctx context.Context) {
	pause := firstPause
	for ctx.Err() == nil && !w.isIdle() {
		begin := time.Now()
		err := w.follow(ctx)
		if refused := statusOf(err); refused == http.StatusUnauthorized || refused == http.StatusForbidden {
			w.end(err)
			return
		}
		if ctx.Err() == nil && err != nil {
			w.log.WarnContext(ctx, "load balancers are not watched for the moment", "err", err)
			w.missing(err)
		}
		if time.Since(begin) > lastPause {
			pause = firstPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, lastPause)
	}
	w.end(errClosed)
}

// missing lets those go on, with the error, who wait for what could not be read.
func (w *watch) missing(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.balancers) == 0 {
		w.failed = err
	}
	w.loadedNow()
}

// loadedNow lets everybody go on who waits for the first load. The caller holds the mutex.
func (w *watch) loadedNow() {
	select {
	case <-w.loaded:
	default:
		close(w.loaded)
	}
}

// end tells everybody that this watch is over: who waits for it gets the error, open pages ask again.
func (w *watch) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed, w.over = err, true
	w.loadedNow()
	for page := range w.pages {
		page.end()
	}
}

func (w *watch) isOver() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

func (w *watch) isIdle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pages) == 0 && time.Since(w.used) > watchIdle
}

// follow reads everything, and then follows the cloud's events, or looks again from time to time.
func (w *watch) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := w.user().events(ctx) // first, so that nothing is missed between the two
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented, http.StatusBadRequest,
		http.StatusTooManyRequests: // the project's share of streams is used up
		return w.poll(ctx)
	}
	if err != nil {
		return err
	}
	if err := w.reload(ctx); err != nil {
		return err
	}
	idle := time.NewTicker(watchIdle)
	defer idle.Stop()
	for {
		select {
		case e, more := <-events:
			if !more {
				return errors.New("the cloud ended the watch")
			}
			if err := w.take(ctx, e); err != nil {
				return err
			}
		case <-idle.C:
			if w.isIdle() {
				return nil
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take does what an event asks for.
func (w *watch) take(ctx context.Context, e event) error {
	if e.resync {
		return w.reload(ctx)
	}
	return w.refresh(ctx, e.LoadBalancerID)
}

func (w *watch) poll(ctx context.Context) error {
	again := time.NewTicker(pollEvery)
	defer again.Stop()
	for !w.isIdle() {
		if err := w.reload(ctx); err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// reload reads all load balancers, and tells of those that changed.
func (w *watch) reload(ctx context.Context) error {
	w.fetching.Lock()
	defer w.fetching.Unlock()
	now, err := w.user().loadBalancers(ctx, "")
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	gone := w.balancers
	w.balancers = make(map[string]*balancer, len(now))
	clear(w.members)
	w.addressed = time.Time{}
	for _, b := range now {
		before := gone[b.ID]
		delete(gone, b.ID)
		w.balancers[b.ID] = b
		if before == nil || !reflect.DeepEqual(before, b) || len(b.pools) > 0 { // the members are not in there
			w.tell(b.ID)
		}
	}
	for id := range gone {
		w.tell(id)
	}
	w.failed = nil
	w.loadedNow()
	return nil
}

// refresh reads one load balancer again, and tells the pages.
func (w *watch) refresh(ctx context.Context, id string) error {
	w.fetching.Lock()
	defer w.fetching.Unlock()
	found, err := w.user().loadBalancers(ctx, id)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.balancers[id]; before != nil {
		for _, p := range before.pools {
			delete(w.members, p.ID)
		}
	}
	delete(w.balancers, id)
	if len(found) > 0 {
		w.balancers[id] = found[0]
	}
	w.addressed = time.Time{}
	w.tell(id)
	return nil
}

// tell has the open pages look at a load balancer again. The caller holds the mutex.
func (w *watch) tell(id string) {
	for page := range w.pages {
		page.add(id)
	}
}

// list is every load balancer, oldest first. It waits until they have been read for the first time.
func (w *watch) list(ctx context.Context) ([]*balancer, error) {
	select {
	case <-w.loaded:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed != nil {
		return nil, w.failed
	}
	all := make([]*balancer, 0, len(w.balancers))
	for _, b := range w.balancers {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *balancer) int {
		return cmp.Or(strings.Compare(a.CreatedAt, b.CreatedAt), strings.Compare(a.ID, b.ID))
	})
	return all, nil
}

// find is one load balancer. One that is not there may be new: then the cloud is asked.
func (w *watch) find(ctx context.Context, id string) (*balancer, error) {
	if _, err := w.list(ctx); err != nil {
		return nil, err
	}
	for range 2 {
		w.mu.Lock()
		found := w.balancers[id]
		w.mu.Unlock()
		if found != nil {
			return found, nil
		}
		if err := w.refresh(ctx, id); err != nil {
			return nil, err
		}
	}
	return nil, &fault{status: http.StatusNotFound, message: "Load Balancer " + id + " not found."}
}

// poolMembers are the members of a pool of the watched load balancers.
func (w *watch) poolMembers(ctx context.Context, poolID string) ([]member, error) {
	w.fetching.Lock()
	defer w.fetching.Unlock()
	w.mu.Lock()
	known, ok := w.members[poolID]
	w.mu.Unlock()
	if ok {
		return known, nil
	}
	found, err := w.user().members(ctx, poolID)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.members[poolID] = found
	return found, nil
}

// floating are the floating IPs of the project, by the port that they lead to.
func (w *watch) floating(ctx context.Context) (map[string]floatingIP, error) {
	w.fetching.Lock()
	defer w.fetching.Unlock()
	w.mu.Lock()
	known, fresh := w.addresses, time.Since(w.addressed) < addressAge
	w.mu.Unlock()
	if fresh {
		return known, nil
	}
	all, err := w.user().floatingIPs(ctx)
	if err != nil {
		return nil, err
	}
	byPort := map[string]floatingIP{}
	for _, f := range all {
		if f.PortID != "" {
			byPort[f.PortID] = f
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.addresses, w.addressed = byPort, time.Now()
	return byPort, nil
}
