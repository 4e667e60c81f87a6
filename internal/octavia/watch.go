package octavia

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// watchPattern is poise's own route: a stream of server-sent events about the load balancers of a project.
const watchPattern = "/watch"

const (
	maxWatchers          = 2_000 // streams of changes together
	maxWatchersOfProject = 100
	maxWatchersOfUser    = 50

	// heartbeat is the pause between two signs of life on a stream, at which the token is looked at as well.
	heartbeat = 15 * time.Second
	// eventTimeout bounds how long a client may keep an event from being sent.
	eventTimeout = 10 * time.Second
)

// Watch follows the load balancers of a project, of all projects when projectID is "", until ctx ends. A value of the channel
// is what has changed since the last one: versions by the load balancers' ids, or nil when there was too much to tell. The
// channel is nil when the server stops.
type Watch func(ctx context.Context, projectID string) <-chan map[string]int64

// watch tells of every load balancer that changes or is gone, as an event with its id and version. A client that does not
// keep up gets a resync event in place of those that it missed: then it looks at everything.
func watch(c *call) error {
	project, err := c.listScope()
	if err != nil {
		return err
	}
	release, err := c.watchers.acquire(c.caller)
	if err != nil {
		return err
	}
	defer release()
	ctx, stop := context.WithCancel(c.r.Context())
	defer stop()
	changes := c.Config.Watch(ctx, project)
	if changes == nil {
		return &refusal{status: http.StatusServiceUnavailable, message: "The server is stopping."}
	}
	c.w.Header().Set("Content-Type", eventStream)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(http.StatusOK)
	s := stream{c.w, http.NewResponseController(c.w)}
	err = s.send(": watching\n\n")
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err == nil {
		select {
		case changed, more := <-changes:
			if !more {
				return nil
			}
			err = s.tell(changed)
		case <-beat.C:
			if _, bad := c.Verifier.Verify(c.r.Context(), c.r.Header.Get("X-Auth-Token")); bad != nil {
				return nil
			}
			err = s.send(": still here\n\n")
		case <-c.r.Context().Done():
			return nil
		}
	}
	return nil // the client has gone: there is nobody to be told
}

// eventStream is the media type of server-sent events.
const eventStream = "text/event-stream"

// The events of the streams. The name of the last one is never written: it is what an event without a name has.
const (
	changedEvent = "changed"
	resyncEvent  = "resync"
	droppedEvent = "dropped"
	messageEvent = "message"
)

// The data of the events.
type (
	balancerChanged struct {
		LoadBalancerID string `json:"loadbalancer_id"`
		Version        int64  `json:"version"`
	}
	recordsDropped struct {
		Records uint64 `json:"records"`
	}
)

// stream sends events to one client.
type stream struct {
	w          http.ResponseWriter
	connection *http.ResponseController
}

func (s stream) tell(changed map[string]int64) error {
	if changed == nil {
		return s.sendEvent(resyncEvent, struct{}{})
	}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if err := s.sendEvent(changedEvent, balancerChanged{id, changed[id]}); err != nil {
			return err
		}
	}
	return nil
}

// sendEvent sends an event with data; without a name it is what clients call a message.
func (s stream) sendEvent(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event: %w", err)
	}
	if name == messageEvent {
		return s.send(fmt.Sprintf("data: %s\n\n", text))
	}
	return s.send(fmt.Sprintf("event: %s\ndata: %s\n\n", name, text))
}

// send writes at once. Connections without deadlines or buffers, as in one process, do without.
func (s stream) send(text string) error {
	_ = s.connection.SetWriteDeadline(time.Now().Add(eventTimeout))
	defer func() { _ = s.connection.SetWriteDeadline(time.Time{}) }()
	_, err := s.w.Write([]byte(text))
	_ = s.connection.Flush()
	return err
}

// takesEvents tells whether a request asks for one of the streams, the answers that are no JSON.
func takesEvents(r *http.Request) bool {
	isOne := strings.HasSuffix(r.URL.Path, watchPattern) || strings.HasSuffix(r.URL.Path, "/log")
	return isOne && strings.HasPrefix(r.Header.Get("Accept"), eventStream)
}
