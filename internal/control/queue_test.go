package control

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetriesDoNotPileUp has an id fail again and again, each time because somebody else had queued it. It still waits for
// one retry.
func TestRetriesDoNotPileUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const failures = 10
		q := newQueue()
		for i := range failures {
			q.add("id")
			if _, ok := q.next(t.Context()); !ok {
				t.Fatal("the queue has ended")
			}
			q.done("id")
			q.addAfter("id", time.Duration(1+i)*time.Second)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		retries := 0
		for id, ok := q.next(ctx); ok; id, ok = q.next(ctx) {
			retries++
			q.done(id)
		}
		if retries != 1 {
			t.Errorf("%d retries, want 1", retries)
		}
	})
}
