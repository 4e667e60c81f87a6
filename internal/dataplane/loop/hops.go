package loop

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxHops is how many load balancers of the process one client may pass, one behind the other. More is a circle: a member that
	// is its own load balancer, or two that are each other's members.
	MaxHops = 4
	// maxWays is how many connections are remembered at least; twice as many at most.
	maxWays = 4096
	// circleMemory is how long a load balancer is said to be in a circle after one was found.
	circleMemory = 15 * time.Second
)

// Hops follows connections, or flows of UDP, from one load balancer of the process to another. Without it a circle would go round
// until all descriptors are in use, and go on after its client has left. The zero value is ready, and safe for concurrent use.
//
// A connection is known by its addresses. Where these are translated on the way (NAT), a circle is not recognised; it ends at the
// share of its load balancer.
type Hops struct {
	doors sync.Map // netip.AddrPort to *Door

	mu   sync.Mutex // guards ways
	ways [2]map[way]int
}

// way is how a connection is known: by where it comes from, and to where it goes.
type way struct{ from, to netip.AddrPort }

// Door is an address at which load balancers listen; those in different networks may have the same.
type Door struct {
	hops    *Hops
	at      netip.AddrPort
	open    atomic.Int64
	entered atomic.Bool // a load balancer of the process has connected to it
}

// Listen notes that a load balancer listens at that address, until the door is closed.
func (h *Hops) Listen(at netip.AddrPort) *Door {
	found, _ := h.doors.LoadOrStore(at, &Door{hops: h, at: at})
	door := found.(*Door)
	door.open.Add(1)
	return door
}

// Close undoes one Listen.
func (d *Door) Close() { d.open.Add(-1) }

// Leads is the door to which a connection to that address may come; nil when it goes to none, as nearly all do.
func (h *Hops) Leads(to netip.AddrPort) *Door {
	found, ok := h.doors.Load(to)
	if !ok {
		return nil
	}
	if door := found.(*Door); door.open.Load() > 0 {
		return door
	}
	return nil
}

// Enter notes a connection to the door that a load balancer makes for a client who has passed so many, itself included. connect
// begins the connection, without waiting for it, and says where it comes from; the zero AddrPort when it has failed. Until it is
// noted nobody is asked about who comes to the door: the connection may be there before connect returns.
func (d *Door) Enter(passed int, connect func() (from netip.AddrPort)) {
	d.entered.Store(true)
	h := d.hops
	h.mu.Lock()
	defer h.mu.Unlock()
	from := connect()
	if !from.IsValid() {
		return
	}
	if h.ways[0] == nil || len(h.ways[0]) >= maxWays {
		h.ways[1], h.ways[0] = h.ways[0], map[way]int{}
	}
	h.ways[0][way{from, d.at}] = passed
}

// Passed is how many load balancers a client has passed who comes to the door, this one included.
func (d *Door) Passed(from netip.AddrPort) int {
	if !d.entered.Load() {
		return 1
	}
	h := d.hops
	h.mu.Lock()
	defer h.mu.Unlock()
	at := way{from, d.at}
	if passed, ok := h.ways[0][at]; ok {
		return passed + 1
	}
	return h.ways[1][at] + 1
}

// Circle remembers that a load balancer is in a circle. The zero value is ready, and safe for concurrent use.
type Circle struct{ foundAt atomic.Int64 } // Unix time in ns; 0: never

// Found notes that a client came who has passed more than [MaxHops].
func (c *Circle) Found() { c.foundAt.Store(time.Now().UnixNano()) }

// Trouble is the reason for people; "" when there is none.
func (c *Circle) Trouble() string {
	if !isAgo(c.foundAt.Load(), 0, circleMemory) {
		return ""
	}
	return fmt.Sprintf("a member leads back to the load balancer itself: clients that have passed %d load balancers of the node are refused", MaxHops)
}
