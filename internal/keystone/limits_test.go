package keystone

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// TestGuessesAtOneAccount attacks one account for two simulated minutes, from one source and from hundreds.
func TestGuessesAtOneAccount(t *testing.T) {
	for _, sources := range []int{1, 2, 20, 400} {
		t.Run(fmt.Sprint(sources), func(t *testing.T) {
			f := &failures{counts: map[string]*failing{}}
			begin, guesses, waits := time.Now(), 0, 0
			for second := range 120 {
				now := begin.Add(time.Duration(second) * time.Second)
				for source := range sources {
					if _, wait := f.take(attempt{account: "u", source: fmt.Sprint(source)}, now); wait == 0 {
						guesses++
					}
				}
				owner, wait := f.take(attempt{account: "u", source: "home", known: "source home"}, now)
				if wait > 0 {
					t.Fatal("the owner is locked out at home")
				}
				owner()
				if elsewhere, wait := f.take(attempt{account: "u", source: "elsewhere"}, now); wait > 0 {
					waits++
				} else {
					elsewhere()
				}
				if second == 59 {
					if guesses >= 20 {
						t.Errorf("%d guesses in the first minute", guesses)
					}
					guesses = 0
				}
			}
			if guesses >= 20 {
				t.Errorf("%d guesses in the second minute", guesses)
			}
			if sources == 1 && waits > 0 {
				t.Errorf("the owner has to wait elsewhere %d times, while one source attacks", waits)
			}
		})
	}
}

// TestTurns has a crowd from one source wait for its turns. Who comes from elsewhere is next, who is known before that.
func TestTurns(t *testing.T) {
	turns := newTurns()
	var hashing []func()
	for turns.free > 0 {
		done, err := turns.take(t.Context(), attempt{})
		if err != nil {
			t.Fatal(err)
		}
		hashing = append(hashing, done)
	}
	came := make(chan string, 100)
	var tasks sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := func(name string, a attempt) {
		before := waiting(turns)
		tasks.Go(func() {
			done, err := turns.take(ctx, a)
			if err != nil {
				came <- "refused"
				return
			}
			came <- name
			_ = done // the turn goes on
		})
		for waiting(turns) == before && len(came) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	for range laneWaiting {
		wait("crowd", attempt{account: "x", source: "crowd"})
	}
	if wait("one more", attempt{account: "y", source: "crowd"}); <-came != "refused" {
		t.Error("a source has more than its lane")
	}
	wait("stranger", attempt{account: "z", source: "elsewhere"})
	wait("known", attempt{account: "z", source: "crowd", known: "source crowd"})
	for _, want := range []string{"known", "crowd", "stranger", "crowd"} {
		hashing[0]() // one ends
		if got := <-came; got != want {
			t.Errorf("next is %s, want %s", got, want)
		}
	}
	cancel()
	tasks.Wait()
	if left := waiting(turns); left != 0 || len(turns.others.of) != 0 || len(turns.others.order) != 0 {
		t.Errorf("%d wait for ever", left)
	}
}

func waiting(t *turns) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.waiting
}
