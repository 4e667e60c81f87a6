package octavia

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"poise/internal/dataplane/accesslog"
	"poise/internal/lb"
)

// logPattern is poise's own route: the access log of a listener from now on, as a stream of server-sent events.
const logPattern = "/listeners/{id}/log"

const (
	// maxFollowersOfOne and maxFollowers bound how many follow the log of one listener, and logs altogether.
	maxFollowersOfOne = 8
	maxFollowers      = 64
)

// FollowLog follows the access log of a listener until ctx ends; nil when it is not served.
type FollowLog func(ctx context.Context, loadBalancerID, listenerID string) *accesslog.Follower

// followers counts who follows logs.
type followers struct {
	mu    sync.Mutex // guards what follows
	of    map[string]int
	all   int
	ended chan struct{} // closed when the server stops
	end   sync.Once
}

func newFollowers() *followers { return &followers{of: map[string]int{}, ended: make(chan struct{})} }

// join says whether one more may follow the log of a listener; who joins leaves.
func (f *followers) join(listenerID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.all >= maxFollowers || f.of[listenerID] >= maxFollowersOfOne {
		return false
	}
	f.all++
	f.of[listenerID]++
	return true
}

func (f *followers) leave(listenerID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all--
	if f.of[listenerID]--; f.of[listenerID] == 0 {
		delete(f.of, listenerID)
	}
}

// EndLogs ends the streams of logs, so that the server can stop.
func (a *API) EndLogs() { a.followers.end.Do(func() { close(a.followers.ended) }) }

// followListener sends each record of a listener's access log as an event, whether or not the listener has a file for it. A
// client that does not keep up is told how many records it has missed.
func followListener(c *call) error {
	o, err := listeners.find(c)
	if err != nil {
		return err
	}
	if !c.followers.join(o.base.ID) {
		return &refusal{status: http.StatusServiceUnavailable, message: "Too many clients follow this log."}
	}
	defer c.followers.leave(o.base.ID)
	ctx, stop := context.WithCancel(c.r.Context())
	defer stop()
	follower := c.FollowLog(ctx, o.Tree.ID, o.base.ID)
	if follower == nil {
		return &lb.Error{Code: lb.Conflict, Message: fmt.Sprintf("Listener %s is not served, so that it has no log to follow.", o.base.ID)}
	}
	c.w.Header().Set("Content-Type", eventStream)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	c.sendLog(follower)
	return nil
}

// sendLog sends records until the client has gone or may not see them any more.
func (c *call) sendLog(follower *accesslog.Follower) {
	s := stream{c.w, http.NewResponseController(c.w)}
	err := s.send(": following\n\n")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	missed := uint64(0)
	for err == nil {
		select {
		case r := <-follower.Records:
			err = s.sendEvent(messageEvent, r)
		case <-beat.C:
			if !c.maySee() {
				return
			}
			err = s.send(": still here\n\n")
		case <-c.followers.ended:
			return
		case <-c.r.Context().Done():
			return
		}
		if dropped := follower.Dropped.Load(); err == nil && dropped > missed {
			err = s.sendEvent(droppedEvent, recordsDropped{dropped - missed})
			missed = dropped
		}
	}
}

// maySee tells whether the listener is there and the client's token is good, still.
func (c *call) maySee() bool {
	caller, err := c.Verifier.Verify(c.r.Context(), c.r.Header.Get("X-Auth-Token"))
	if err != nil {
		return false
	}
	c.caller = caller
	_, err = listeners.find(c)
	return err == nil
}
