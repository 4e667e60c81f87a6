package neutron

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// applyWait is the longest that a request waits for the fabric; after it the change is carried through all the same.
	applyWait = 10 * time.Second
	// applyTimeout bounds one attempt of the fabric.
	applyTimeout = 30 * time.Second
	// The pause after a failed attempt doubles from the first to the last.
	firstRetry = 250 * time.Millisecond
	lastRetry  = 30 * time.Second
)

// reconciler runs apply after changes: one attempt at a time, and however many changes come during one attempt, one
// more attempt afterwards.
type reconciler struct {
	apply func(ctx context.Context) error
	log   *slog.Logger
	wake  chan struct{} // holds one signal while wanted > tried

	mu      sync.Mutex // guards what follows
	wanted  int64      // changes so far; the start is the first
	tried   int64      // the changes that a finished attempt has covered
	success bool       // the last attempt succeeded
	done    chan struct{}
}

func newReconciler(apply func(ctx context.Context) error, log *slog.Logger) *reconciler {
	return &reconciler{apply: apply, log: log, wake: make(chan struct{}, 1), wanted: 1, done: make(chan struct{})}
}

// sync asks for an attempt that begins from now on, and waits for its end.
func (r *reconciler) sync(ctx context.Context) {
	r.mu.Lock()
	r.wanted++
	mine := r.wanted
	r.mu.Unlock()
	r.signal()
	r.await(ctx, mine)
}

// await waits for the end of an attempt that covers a change, at most applyWait. Whether it succeeded is not the
// caller's affair: the reconciler goes on trying.
func (r *reconciler) await(ctx context.Context, change int64) {
	ctx, cancel := context.WithTimeout(ctx, applyWait)
	defer cancel()
	for {
		r.mu.Lock()
		tried, done := r.tried, r.done
		r.mu.Unlock()
		if tried >= change {
			return
		}
		select {
		case <-done:
		case <-ctx.Done():
			r.log.WarnContext(ctx, "the fabric has not taken a change in time; it goes on in the background")
			return
		}
	}
}

func (r *reconciler) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reconciler) run(ctx context.Context) error {
	pause := firstRetry
	for {
		retry := (<-chan time.Time)(nil)
		if err := r.attempt(ctx); err == nil {
			pause = firstRetry
		} else if ctx.Err() == nil {
			r.log.ErrorContext(ctx, "the fabric could not make the networks; trying again", "in", pause, "err", err)
			retry = time.After(pause)
			pause = min(2*pause, lastRetry)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-retry:
		}
	}
}

func (r *reconciler) attempt(ctx context.Context) error {
	r.mu.Lock()
	covered := r.wanted
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	err := r.apply(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried, r.success = covered, err == nil
	close(r.done)
	r.done = make(chan struct{})
	return err
}

// settled tells whether the last attempt succeeded.
func (r *reconciler) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.success
}
