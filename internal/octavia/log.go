package octavia

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"poise/internal/dataplane/accesslog"
	"poise/internal/lb"
	"poise/internal/limit"
)

// logPattern is poise's own route: the access log of a listener from now on, as a stream of server-sent events.
const logPattern = "/listeners/{id}/log"

// Each follower has a queue of records of its own, some 300 KiB when it is full.
const (
	maxFollowers           = 128 // of all logs together
	maxFollowersOfProject  = 16
	maxFollowersOfUser     = 8
	maxFollowersOfListener = 8 // each one is told of every request by the loop that has served it
)

// FollowLog follows the access log of a listener until ctx ends; nil when it is not served.
type FollowLog func(ctx context.Context, loadBalancerID, listenerID string) *accesslog.Follower

// EndLogs ends the streams of logs, so that the server can stop.
func (a *API) EndLogs() { a.endLogs() }

// followListener sends each record of a listener's access log as an event, whether or not the listener has a file for it. A
// client that does not keep up is told how many records it has missed.
func followListener(c *call) error {
	o, err := listeners.find(c)
	if err != nil {
		return err
	}
	release, err := c.followers.acquire(c.caller, limit.Share{Holder: "listener " + o.base.ID, Max: maxFollowersOfListener})
	if err != nil {
		return err
	}
	defer release()
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
		case <-c.logsEnded:
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
