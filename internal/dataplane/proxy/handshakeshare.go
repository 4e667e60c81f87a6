package proxy

import (
	"container/list"
	"sync"
)

// share is what one load balancer has of an engine's handshakes. Load balancers share the places and
// the processors evenly: a flood at one of them makes no client of another wait.
type share struct {
	handshakes int       // from start until done was called
	underWay   int       // of them, with a goroutine, those that are about to end left out
	waiting    list.List // of *handshake

	turns []chan struct{} // who wait for a processor; guarded by processors.mu
}

// shareOf counts a handshake of a load balancer and returns the load balancer's share.
func (hs *handshakes) shareOf(holder any) *share {
	s := hs.shares[holder]
	if s == nil {
		s = &share{}
		hs.shares[holder] = s
	}
	s.handshakes++
	return s
}

// leaveShare is called once for each handshake after its end.
func (hs *handshakes) leaveShare(h *handshake) {
	h.share.handshakes--
	if h.share.handshakes == 0 {
		delete(hs.shares, h.holder)
	}
}

// next is the waiting handshake that gets the next place: one of the load balancer with the fewest.
func (hs *handshakes) next() *handshake {
	if hs.waiting == 0 {
		return nil
	}
	var fewest *share
	for _, s := range hs.shares {
		if s.waiting.Len() > 0 && (fewest == nil || s.underWay < fewest.underWay) {
			fewest = s
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
	for _, s := range hs.shares {
		if most == nil || count(s) > count(most) {
			most = s
		}
	}
	return most
}

// giveWay ends the oldest handshake of the load balancer that has the most places, for one that has
// less than its share.
func (hs *handshakes) giveWay(to *share) {
	if (to.underWay+1)*len(hs.shares) > hs.most {
		return
	}
	most := hs.mostOf(func(s *share) int { return s.underWay })
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

// makeQueueRoom tells whether another handshake of a load balancer may wait. When the queue is full,
// the load balancer with the most in it loses its last one.
func (hs *handshakes) makeQueueRoom(s *share) bool {
	if hs.waiting < hs.mostWaiting {
		return true
	}
	most := hs.mostOf(func(s *share) int { return s.waiting.Len() })
	if most.waiting.Len() <= s.waiting.Len()+1 {
		return false
	}
	hs.end(most.waiting.Back().Value.(*handshake), errHandshakeCrowd)
	return true
}

// processors lets as many handshakes calculate at once as there are processors. Load balancers take
// turns, and so do the handshakes of each.
type processors struct {
	mu    sync.Mutex // guards what follows, and each share's turns
	free  int
	order []*share // those who wait, the next one first
}

// take waits for a processor.
func (p *processors) take(s *share) {
	p.mu.Lock()
	if p.free > 0 {
		p.free--
		p.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	if len(s.turns) == 0 {
		p.order = append(p.order, s)
	}
	s.turns = append(s.turns, turn)
	p.mu.Unlock()
	<-turn
}

// give passes a processor on.
func (p *processors) give() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.order) == 0 {
		p.free++
		return
	}
	s := p.order[0]
	p.order = p.order[1:]
	close(s.turns[0])
	s.turns = s.turns[1:]
	if len(s.turns) > 0 {
		p.order = append(p.order, s)
	}
}
