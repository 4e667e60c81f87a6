package keystone

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// budget is how many failures are allowed at once, and one more after each every.
type budget struct {
	burst int
	every time.Duration
}

// What may fail. Together they keep the guesses at one account below 20 a minute, from however many sources: at most
// 8 + 6 in the first minute. One source alone leaves room in the account's budget, so that its owner gets in from elsewhere.
var (
	// pairBudget is for one account from one source, and for one account from one known browser.
	pairBudget = budget{4, 12 * time.Second}
	// accountBudget is for one account from all sources that are not known.
	accountBudget = budget{8, 10 * time.Second}
	// sourceBudget is for one source at all accounts for which it is not known.
	sourceBudget = budget{30, 2 * time.Second}
)

const (
	// maxHashing bounds how many passwords are hashed at once, and with it their memory (19 MiB each).
	maxHashing = 4
	// maxHashWait is how long a login waits for its turn before it is told to come back.
	maxHashWait = 10 * time.Second
	// maxWaiting logins wait for their turn, laneWaiting of one source or, where that is known, of one account.
	maxWaiting  = 256
	laneWaiting = 32
	// knownInARow logins from known sources are taken before one from others that wait.
	knownInARow = 3
	// maxFailing bounds for how many names failures are counted; at the limit those that recovered are forgotten.
	maxFailing = 10_000
)

// attempt is a login before it is known whether it is good.
type attempt struct {
	account string // on which a failure goes; unknown users have one as well, so that it does not tell them apart
	source  string // rest.Source
	known   string // the source or browser from which the account has signed in before, "" for none
	// credential says that the account is an application credential that there is. Failures of others at the same source do not
	// count for it: who automates sign-ins behind one address with strangers is not locked out by them.
	credential bool
}

// counter is a budget that an attempt draws on.
type counter struct {
	name string
	budget
}

func (a attempt) counters() []counter {
	if a.known != "" {
		return []counter{{fmt.Sprintf("known %q %q", a.account, a.known), pairBudget}}
	}
	counters := []counter{
		{fmt.Sprintf("pair %q %q", a.account, a.source), pairBudget},
		{fmt.Sprintf("account %q", a.account), accountBudget},
	}
	if a.credential {
		return counters
	}
	return append(counters, counter{fmt.Sprintf("source %q", a.source), sourceBudget})
}

// failures counts failed logins.
type failures struct {
	mu     sync.Mutex // guards counts
	counts map[string]*failing
}

type failing struct {
	*rate.Limiter

	budget budget
}

// take takes an attempt out of its budgets before it is made; wait is how long it has to wait when one has nothing left.
// Attempts are taken beforehand so that guesses made at the same time do not all pass.
func (f *failures) take(a attempt, now time.Time) (giveBack func(), wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counters := a.counters()
	if wait := f.longest(counters, now); wait > 0 {
		return nil, wait
	}
	reservations := make([]*rate.Reservation, len(counters))
	for i, c := range counters {
		known := f.counts[c.name]
		if known == nil {
			f.makeRoom(now)
			known = &failing{rate.NewLimiter(rate.Every(c.every), c.burst), c.budget}
			f.counts[c.name] = known
		}
		reservations[i] = known.ReserveN(now, 1)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, r := range reservations {
			r.CancelAt(now)
		}
	}, 0
}

// wait is how long an attempt has to wait now.
func (f *failures) wait(a attempt, now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.longest(a.counters(), now)
}

// longest is what the counter asks for that has least left. f.mu is held.
func (f *failures) longest(counters []counter, now time.Time) (wait time.Duration) {
	for _, c := range counters {
		if known := f.counts[c.name]; known != nil {
			wait = max(wait, time.Duration((1-known.TokensAt(now))*float64(c.every)))
		}
	}
	return wait
}

// makeRoom forgets the names that recovered, or any one when there are none. f.mu is held.
func (f *failures) makeRoom(now time.Time) {
	if len(f.counts) < maxFailing {
		return
	}
	for name, known := range f.counts {
		if known.TokensAt(now) >= float64(known.budget.burst) {
			delete(f.counts, name)
		}
	}
	for name := range f.counts {
		if len(f.counts) < maxFailing {
			return
		}
		delete(f.counts, name)
	}
}

// turns gives out who may hash. Those who wait are in lanes, one for each source, or for each account whose source is
// known and each application credential; lanes take turns, so that a crowd from one source delays nobody else.
type turns struct {
	mu      sync.Mutex // guards what follows
	free    int
	waiting int
	known   lanes
	others  lanes
	inARow  int // how many of known came since one of others
}

type lanes struct {
	order []string // of those with waiters; the first is next
	of    map[string][]chan struct{}
}

func newTurns() *turns {
	return &turns{
		free:  min(runtime.GOMAXPROCS(0), maxHashing),
		known: lanes{of: map[string][]chan struct{}{}}, others: lanes{of: map[string][]chan struct{}{}},
	}
}

// take waits until a may hash.
func (t *turns) take(ctx context.Context, a attempt) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, maxHashWait)
	defer cancel()
	mine, in, lane := make(chan struct{}), &t.others, a.source
	if a.known != "" || a.credential {
		in, lane = &t.known, a.account
	}
	t.mu.Lock()
	switch {
	case t.free > 0:
		t.free--
		close(mine)
	case len(in.of[lane]) >= laneWaiting || in == &t.others && t.waiting >= maxWaiting:
		t.mu.Unlock()
		return nil, errBusy
	default:
		in.add(lane, mine)
		t.waiting++
	}
	t.mu.Unlock()
	select {
	case <-mine:
		return t.give, nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	left := in.remove(lane, mine)
	if left {
		t.waiting--
	}
	t.mu.Unlock()
	if !left { // its turn came in this moment
		t.give()
	}
	return nil, errBusy
}

// give ends a turn; the next one's begins.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	from := &t.others
	if len(t.known.order) > 0 && (t.inARow < knownInARow || len(t.others.order) == 0) {
		from = &t.known
		t.inARow++
	} else {
		t.inARow = 0
	}
	if len(from.order) == 0 {
		t.free++
		return
	}
	t.waiting--
	close(from.next())
}

func (l *lanes) add(lane string, waiter chan struct{}) {
	if len(l.of[lane]) == 0 {
		l.order = append(l.order, lane)
	}
	l.of[lane] = append(l.of[lane], waiter)
}

// next takes the first of the lane whose turn it is; the lane's next turn comes after all others.
func (l *lanes) next() chan struct{} {
	lane := l.order[0]
	l.order = l.order[1:]
	waiter, left := l.of[lane][0], l.of[lane][1:]
	if len(left) == 0 {
		delete(l.of, lane)
		return waiter
	}
	l.of[lane] = left
	l.order = append(l.order, lane)
	return waiter
}

func (l *lanes) remove(lane string, waiter chan struct{}) bool {
	i := slices.Index(l.of[lane], waiter)
	if i < 0 {
		return false
	}
	l.of[lane] = slices.Delete(l.of[lane], i, i+1)
	if len(l.of[lane]) == 0 {
		delete(l.of, lane)
		l.order = slices.DeleteFunc(l.order, func(other string) bool { return other == lane })
	}
	return true
}

var errBusy = &fault{
	status: http.StatusServiceUnavailable, retryAfter: 2 * time.Second, message: "Too many logins at once; try again later.",
}
