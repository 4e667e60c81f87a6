package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

func TestOneAloneMayHaveAllButTheReserve(t *testing.T) {
	d := NewDescriptors(1600, slog.New(slog.DiscardHandler))
	a := d.NewAccount()
	n := int64(0)
	for ; a.TakeNew(2); n += 2 {
	}
	if n != 1500 {
		t.Errorf("new clients of the only load balancer got %d of 1,600", n)
	}
	for ; a.Take(1); n++ {
	}
	if n != 1550 {
		t.Errorf("clients that it has got %d of 1,600", n)
	}
	a.Give(n)
	if d.Used() != 0 || d.active.Load() != 0 {
		t.Errorf("%d in use by %d after all were given back", d.Used(), d.active.Load())
	}
}

// holder gives back what accounts hold, one descriptor of each at a time.
type holder struct {
	accounts []*Account
	retried  atomic.Int64
}

func (h *holder) TakeBack(c *Collection) {
	c.Begin()
	defer c.End()
	for more := true; more && !c.Enough(); {
		more = false
		for _, a := range h.accounts {
			if !c.Enough() && c.Above(a) {
				a.Give(1)
				more = true
			}
		}
	}
}

func (h *holder) Retry() { h.retried.Add(1) }

// TestWhoComesLateGetsHisShare has one load balancer take whatever it can before others come.
func TestWhoComesLateGetsHisShare(t *testing.T) {
	d := NewDescriptors(1600, slog.New(slog.DiscardHandler))
	h := &holder{}
	d.Register(h)
	for range 4 {
		h.accounts = append(h.accounts, d.NewAccount())
	}
	for h.accounts[0].TakeNew(2) {
	}
	for i, a := range h.accounts[1:] {
		share := int64(1600 / (i + 3)) // the accounts with this one, and one to come
		for a.Used() < share-2 {
			if !a.TakeNew(2) {
				t.Fatalf("account %d has %d and gets no more, its share is %d", i+1, a.Used(), share)
			}
		}
	}
	if d.Used() > 1600 {
		t.Errorf("%d in use", d.Used())
	}
	if h.accounts[0].Shortage() == "" || !strings.Contains(h.accounts[0].Shortage(), "full share") {
		t.Errorf("the greedy one is told %q", h.accounts[0].Shortage())
	}
}

// TestNobodyAboveGivesNothing has those above their share ask: nobody's connections are closed for them.
func TestNobodyAboveGivesNothing(t *testing.T) {
	d := NewDescriptors(160, slog.New(slog.DiscardHandler))
	greedy, modest := d.NewAccount(), d.NewAccount()
	h := &holder{accounts: []*Account{greedy, modest}}
	d.Register(h)
	for modest.Used() < 20 {
		modest.TakeNew(2)
	}
	for greedy.TakeNew(2) {
	}
	had := greedy.Used()
	if greedy.TakeNew(2) || greedy.Used() != had || modest.Used() != 20 {
		t.Errorf("%d of %d, and %d of 20 are left", greedy.Used(), had, modest.Used())
	}
}

func TestTooLowALimit(t *testing.T) {
	d := NewDescriptors(50, slog.New(slog.DiscardHandler))
	a := d.NewAccount()
	if why := a.Shortage(); why != "" {
		t.Error(why)
	}
	d.Hold(50)
	if why := a.Shortage(); !strings.Contains(why, "LimitNOFILE") {
		t.Errorf("%q does not say what to raise", why)
	}
}

// TestCollectionThatFindsNothing does not begin again at once.
func TestCollectionThatFindsNothing(t *testing.T) {
	d := NewDescriptors(20, slog.New(slog.DiscardHandler))
	h := &holder{}
	d.Register(h)
	d.Hold(20)
	a := d.NewAccount()
	for range 1000 {
		if a.TakeNew(2) {
			t.Fatal("there is none")
		}
	}
	if n := h.retried.Load(); n != 0 {
		t.Errorf("those who wait were told %d times of descriptors that are not there", n)
	}
}

func TestSentence(t *testing.T) {
	for err, want := range map[error]string{
		fmt.Errorf("socket: %w", syscall.EADDRINUSE): "address already in use",
		fmt.Errorf("socket: %w", syscall.EMFILE):     "too many open files: " + raiseLimit,
		errors.New("the network is gone"):            "the network is gone",
	} {
		if got := Sentence(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
