package loop

import (
	"slices"
	"sync/atomic"
	"time"
)

// collectionPause is how long no other collection begins after one that did not find enough.
const collectionPause = 20 * time.Millisecond

// Holder is an engine whose connections hold descriptors.
type Holder interface {
	// TakeBack has each of the holder's loops give descriptors back, within Begin and End of c. It must not wait for that.
	TakeBack(c *Collection)
	// Retry hears that descriptors are there again for those who wait. It must not block.
	Retry()
}

// collections is what [Descriptors] know of who can give some back. One collection runs at a time.
type collections struct {
	holders  atomic.Pointer[[]Holder]
	running  atomic.Bool
	eviction atomic.Bool // the next collection may close connections
	// notUntil is the Unix time in ns before which no collection begins that closes no connections, notEvictUntil that of the others.
	notUntil, notEvictUntil atomic.Int64
}

// Register adds a holder, which is asked from then on.
func (d *Descriptors) Register(h Holder) {
	for {
		before := d.holders.Load()
		var all []Holder
		if before != nil {
			all = slices.Clone(*before)
		}
		all = append(all, h)
		if d.holders.CompareAndSwap(before, &all) {
			return
		}
	}
}

// collect begins a collection unless one is running. Without evict only what waits for a next use is given back.
func (d *Descriptors) collect(evict bool) {
	holders := d.holders.Load()
	if holders == nil {
		return
	}
	if evict {
		d.eviction.Store(true)
	}
	notUntil := &d.notUntil
	if d.eviction.Load() {
		notUntil = &d.notEvictUntil
	}
	if time.Now().UnixNano() < notUntil.Load() || !d.running.CompareAndSwap(false, true) {
		return
	}
	c := &Collection{descriptors: d, evict: d.eviction.Swap(false), share: d.share(), before: d.used.Load(), holders: *holders}
	c.Begin()
	for _, h := range c.holders {
		h.TakeBack(c)
	}
	c.End()
}

// Collection takes descriptors back until the reserve is full again: first what nobody uses, then, where an account below its share
// has asked for it, connections of accounts above theirs.
type Collection struct {
	descriptors *Descriptors
	holders     []Holder
	evict       bool
	share       int64
	before      int64 // how many were in use when it began
	underWay    atomic.Int64
}

// Begin counts one loop, or other part of a holder, that takes part; End says that it has finished.
func (c *Collection) Begin() { c.underWay.Add(1) }

// End hears that a part has finished. After the last one, those who wait try again.
func (c *Collection) End() {
	if c.underWay.Add(-1) > 0 {
		return
	}
	d := c.descriptors
	if !c.Enough() {
		until := time.Now().Add(collectionPause).UnixNano()
		d.notUntil.Store(until)
		if c.evict {
			d.notEvictUntil.Store(until)
		}
	}
	d.running.Store(false)
	if d.used.Load() < c.before {
		for _, h := range c.holders {
			h.Retry()
		}
	}
	if d.eviction.Load() { // somebody has asked meanwhile
		d.collect(true)
	}
}

// Enough says that there is a new connection's room beside a full reserve.
func (c *Collection) Enough() bool { return c.descriptors.free() >= c.descriptors.reserve+leastShare }

// Above says whether connections of the account are to be closed, as long as there is not enough.
func (c *Collection) Above(a *Account) bool { return c.evict && a.used.Load() > c.share }
