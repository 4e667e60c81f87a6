package probe

import (
	"slices"
	"sync"

	"poise/internal/dataplane"
)

// Budget bounds the checks that are under way at once over all load balancers, as each holds a descriptor, and shares them out.
// It is safe for concurrent use.
//
// A load balancer's share is the whole divided by the load balancers that have checks under way or waiting. What others do not
// want it may use as well; when one below its share wants a check and there is no room, one above its share has to end one.
// A member that does not answer keeps its check until the timeout of its monitor, which may be an hour: waiting for that would
// have one tenant's silent members keep another's dead one in service.
type Budget struct {
	total   int
	opening chan struct{} // held by who opens a socket

	mu      sync.Mutex // guards what follows, and the accounts
	used    int
	active  int               // accounts that run or wait
	holders map[*account]bool // those that run
	waiting []*account        // for room, in the order in which they came
}

// NewBudget makes a budget of total checks.
func NewBudget(total int) *Budget {
	return &Budget{total: max(total, 1), opening: make(chan struct{}, 1), holders: map[*account]bool{}}
}

// patientNet has checks open their sockets one after the other. Thousands of them may be due at once, and goroutines that are all
// ready to run keep event loops from Go's processors.
type patientNet struct {
	dataplane.Net
	opening chan struct{}
}

func (n patientNet) Socket(family, kind int) (int, error) {
	n.opening <- struct{}{}
	defer func() { <-n.opening }()
	return n.Net.Socket(family, kind)
}

// account is what one load balancer has of a budget.
type account struct {
	budget  *Budget
	stir    func() // tells that there may be room, or that checks are owed; it does not block
	running int
	owed    int // of them, those that have to end for others
	waits   bool
}

func (b *Budget) newAccount(stir func()) *account { return &account{budget: b, stir: stir} }

// take begins a check if there is room for it. If not, stir is called when there may be.
func (a *account) take() bool {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.activate(a)
	if b.used >= b.total && (a.running >= b.share() || !b.demand()) {
		if !a.waits {
			a.waits = true
			b.waiting = append(b.waiting, a)
		}
		return false
	}
	b.used++
	a.running++
	b.holders[a] = true
	return true
}

// give ends a check.
func (a *account) give() {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used--
	a.running--
	a.owed = max(a.owed-1, 0)
	if a.running == 0 {
		delete(b.holders, a)
	}
	b.retire(a)
	b.wakeNext()
}

// rest hears that the load balancer wants no further check for now.
func (a *account) rest() {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.waits {
		a.waits = false
		b.waiting = slices.DeleteFunc(b.waiting, func(w *account) bool { return w == a })
		b.retire(a)
	}
	b.wakeNext()
}

// owes is how many checks the load balancer has to end.
func (a *account) owes() int {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	return a.owed
}

// share is what each load balancer may have while others want it. The caller holds mu.
func (b *Budget) share() int { return max(1, b.total/max(1, b.active)) }

// demand has the load balancer that is furthest above its share end one check, and tells whether there is one. The check ends
// within moments, so that the budget is exceeded for as long. The caller holds mu.
func (b *Budget) demand() bool {
	var most *account
	for a := range b.holders {
		if most == nil || a.running-a.owed > most.running-most.owed {
			most = a
		}
	}
	if most == nil || most.running-most.owed <= b.share() {
		return false
	}
	most.owed++
	most.stir()
	return true
}

// wakeNext stirs the one with the fewest checks of those that wait, if there is room. The caller holds mu.
func (b *Budget) wakeNext() {
	if b.used >= b.total || len(b.waiting) == 0 {
		return
	}
	next := 0
	for i, a := range b.waiting {
		if a.running < b.waiting[next].running {
			next = i
		}
	}
	a := b.waiting[next]
	b.waiting = slices.Delete(b.waiting, next, next+1)
	a.waits = false
	b.retire(a)
	a.stir()
}

// activate and retire count the accounts that run or wait. The caller holds mu.
func (b *Budget) activate(a *account) {
	if a.running == 0 && !a.waits {
		b.active++
	}
}

func (b *Budget) retire(a *account) {
	if a.running == 0 && !a.waits {
		b.active--
	}
}
