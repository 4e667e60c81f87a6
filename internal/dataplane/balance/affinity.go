package balance

import (
	"container/list"
	"net/netip"
)

// maxAffinities is how many clients a pool remembers: what Octavia gives a SOURCE_IP table.
const maxAffinities = 10_000

// affinity remembers which client belongs to which member. When it is full, the client seen longest ago is forgotten.
type affinity struct {
	limit  int
	byAddr map[netip.Addr]*list.Element
	recent *list.List // of *owner; the client seen last is in front
}

type owner struct {
	client   netip.Addr
	memberID string
}

func newAffinity(limit int) *affinity {
	return &affinity{limit: limit, byAddr: map[netip.Addr]*list.Element{}, recent: list.New()}
}

func (a *affinity) get(client netip.Addr) (memberID string, ok bool) {
	e, ok := a.byAddr[client]
	if !ok {
		return "", false
	}
	return e.Value.(*owner).memberID, true
}

func (a *affinity) put(client netip.Addr, memberID string) {
	if e, ok := a.byAddr[client]; ok {
		e.Value.(*owner).memberID = memberID
		a.recent.MoveToFront(e)
		return
	}
	if a.recent.Len() >= a.limit {
		oldest := a.recent.Back()
		delete(a.byAddr, oldest.Value.(*owner).client)
		a.recent.Remove(oldest)
	}
	a.byAddr[client] = a.recent.PushFront(&owner{client: client, memberID: memberID})
}
