package console

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
)

const (
	// silenceLimit ends a watch on which not even a comment arrives.
	silenceLimit = time.Minute
	// maxEvent is the longest line of an event stream in bytes.
	maxEvent = 64 << 10
	// waitingEvents is how many events may wait for whoever follows a watch; then the cloud waits.
	waitingEvents = 64
)

// event says that a load balancer has changed or is gone or, with resync, that events were lost.
type event struct {
	LoadBalancerID string `json:"loadbalancer_id"`
	Version        int64  `json:"version"`
	resync         bool
}

// events opens the cloud's stream of changes of the project's load balancers. The channel closes when the stream ends, which
// it does with ctx at the latest. A fault is the answer of a cloud that has no such stream.
func (c *cloud) events(ctx context.Context) (<-chan event, error) {
	root, err := c.endpoint(loadBalancing)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	answer, err := c.client.Request(ctx, http.MethodGet, root+"watch?project_id="+url.QueryEscape(c.Project.ID), &gophercloud.RequestOpts{
		KeepResponseBody: true, OkCodes: []int{200}, MoreHeaders: map[string]string{"Accept": "text/event-stream"},
	})
	if err != nil {
		cancel()
		return nil, faultOf(err)
	}
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		cancel()
		_ = answer.Body.Close()
		return nil, &fault{status: http.StatusNotImplemented, message: "The cloud has no stream of events."}
	}
	found := make(chan event, waitingEvents)
	go func() {
		defer cancel()
		defer close(found)
		defer answer.Body.Close()
		readEvents(ctx, cancel, answer.Body, found)
	}()
	return found, nil
}

// readEvents reads a stream of server-sent events until it ends or falls silent.
func readEvents(ctx context.Context, cancel func(), from io.Reader, into chan<- event) {
	silence := time.AfterFunc(silenceLimit, cancel)
	defer silence.Stop()
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxEvent)
	kind := ""
	for lines.Scan() {
		silence.Reset(silenceLimit)
		name, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			kind = value
		case "":
			kind = ""
		case "data":
			e := event{resync: kind == "resync"}
			if !e.resync && json.Unmarshal([]byte(value), &e) != nil {
				continue
			}
			select {
			case into <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}
