package control

import (
	"context"
	"sync"
)

// maxUntold is how many load balancers may wait to be told to one watcher; beyond it, it is told that it missed some.
const maxUntold = 256

// watchers are told of every change of a load balancer, of its intent as well as of what became of it. The zero value is
// ready.
type watchers struct {
	mu     sync.Mutex // guards what follows
	all    map[*watcher]bool
	closed bool
}

// watcher follows the load balancers of a project, or all. What it has not taken yet waits as one value in untold, to which
// is added what changes meanwhile; so it never holds up who tells it.
type watcher struct {
	projectID string                // "" for all
	untold    chan map[string]int64 // of capacity 1; sent to by tell alone, which holds the mutex
}

// Watch follows the load balancers of a project, of all projects when projectID is "", until ctx ends. A value of the channel
// is what has changed since the last one: versions by the load balancers' ids, or nil when there was too much to tell. The
// channel is closed when the server stops; after that it is nil. How many may watch is for the caller to bound.
func (c *Control) Watch(ctx context.Context, projectID string) <-chan map[string]int64 {
	w := &watcher{projectID: projectID, untold: make(chan map[string]int64, 1)}
	all := &c.watchers
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.closed {
		return nil
	}
	if all.all == nil {
		all.all = map[*watcher]bool{}
	}
	all.all[w] = true
	context.AfterFunc(ctx, func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.all, w)
	})
	return w.untold
}

// EndWatches closes the channel of everybody who watches, so that the server can stop.
func (c *Control) EndWatches() {
	c.watchers.mu.Lock()
	defer c.watchers.mu.Unlock()
	c.watchers.closed = true
	for w := range c.watchers.all {
		close(w.untold)
	}
	c.watchers.all = nil
}

// Changed tells those who watch that a load balancer has a new version, or is gone (store.Store.OnChange).
func (c *Control) Changed(projectID, loadBalancerID string, version int64) {
	c.watchers.mu.Lock()
	defer c.watchers.mu.Unlock()
	for w := range c.watchers.all {
		if w.projectID == "" || w.projectID == projectID {
			w.tell(loadBalancerID, version)
		}
	}
}

// tell adds a change to what the watcher has not taken yet. The caller holds the mutex of all.
func (w *watcher) tell(id string, version int64) {
	waiting := map[string]int64{}
	select {
	case waiting = <-w.untold:
	default:
	}
	switch {
	case waiting == nil: // it has missed some already, and will look at everything
	case len(waiting) >= maxUntold:
		waiting = nil
	default:
		waiting[id] = max(version, waiting[id])
	}
	w.untold <- waiting
}
