package proxy

import (
	"container/list"
	"sync"
)

// share is what one load balancer has of an engine's handshakes. Load balancers with handshakes share the places and the processors
// evenly, so that a flood at one of them makes nobody wait at another.
type share struct {
	handshakes int       // from start until done was called
	underWay   int       // of them, with a goroutine, those that are about to end left out
	waiting    list.List // of *handshake

	turns []chan struct{} // who wait for a processor; guarded by processors.mu
}

// shareOf is the share of a load balancer.
func (hs *handshakes) shareOf(holder any) *share {
	c := hs.shares[holder]
	if c == nil {
		c = &share{}
		hs.shares[holder] = c
	}
	c.handshakes++
	return c
}

// leaveShare is called for each handshake that it has counted.
func (hs *handshakes) leaveShare(h *handshake) {
	h.share.handshakes--
	if h.share.handshakes == 0 {
		delete(hs.shares, h.holder)
	}
}

// next is the handshake that waits and has the next place: one of the load balancer that has the fewest.
func (hs *handshakes) next() *handshake {
	if hs.waiting == 0 {
		return nil
	}
	var fewest *share
	for _, c := range hs.shares {
		if c.waiting.Len() > 0 && (fewest == nil || c.underWay < fewest.underWay) {
			fewest = c
		}
	}
	if fewest == nil {
		return nil
	}
	return fewest.waiting.Front().Value.(*handshake)
}

// mostOf is the load balancer that has the most of something.
func (hs *handshakes) mostOf(count func(*share) int) *share {
	var most *share
	for _, c := range hs.shares {
		if most == nil || count(c) > count(most) {
			most = c
		}
	}
	return most
}

// giveWay ends the oldest handshake of the load balancer that has the most places, for one that has less than its share.
func (hs *handshakes) giveWay(to *share) {
	if (to.underWay+1)*len(hs.shares) > hs.most {
		return
	}
	most := hs.mostOf(func(c *share) int { return c.underWay })
	if most.underWay <= to.underWay+1 {
		return
	}
	for at := hs.underWay.Front(); at != nil; at = at.Next() {
		if h := at.Value.(*handshake); h.share == most && h.ending.Load() == nil {
			hs.end(h, errHandshakeCrowd)
			return
		}
	}
}

// makeQueueRoom says whether another handshake of c may wait. When there is no place, the last one of the load balancer of which the
// most wait loses its.
func (hs *handshakes) makeQueueRoom(c *share) bool {
	if hs.waiting < hs.mostWaiting {
		return true
	}
	most := hs.mostOf(func(c *share) int { return c.waiting.Len() })
	if most.waiting.Len() <= c.waiting.Len()+1 {
		return false
	}
	hs.end(most.waiting.Back().Value.(*handshake), errHandshakeCrowd)
	return true
}

// processors lets as many handshakes calculate at once as there are. Load balancers take turns, and so do the handshakes of each.
type processors struct {
	mu    sync.Mutex // guards what follows, and each share's turns
	free  int
	order []*share // those who wait, the next one first
}

// take waits for one.
func (p *processors) take(c *share) {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	if len(c.turns) == 0 {
		p.order = append(p.order, c)
	}
	c.turns = append(c.turns, turn)
	p.mu.Unlock()
	<-turn
}

// give passes one on.
func (p *processors) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.order) == 0 {
		p.free++
		return
	}
	c := p.order[0]
	p.order = p.order[1:]
	close(c.turns[0])
	c.turns = c.turns[1:]
	if len(c.turns) > 0 {
		p.order = append(p.order, c)
	}
}
