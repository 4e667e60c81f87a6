package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// Pages that update themselves: each holds a request, and is told of each change.
	maxStreams          = 5_000 // in all
	maxStreamsOfProject = 250
	maxStreamsOfUser    = 50
	// maxWaiting is how many load balancers may wait to be told to a page; beyond it, the page looks at everything again.
	maxWaiting = 64
	// heartbeat is the pause between two signs of life to a page, at which its session is looked at as well.
	heartbeat = 20 * time.Second
	// counting is the pause between two looks of a page at its charts, which have a point every 10 s.
	counting = 10 * time.Second
)

var streamPages = []page{{method: "GET", pattern: "/events", handle: (*view).events, live: true}}

// stream is what waits to be told to one open page: the load balancers that changed, each once.
type stream struct {
	mu      sync.Mutex // guards what follows
	waiting map[string]bool
	resync  bool // too much has changed to tell of each
	ended   bool
	wake    chan struct{} // holds one value when there is something to do
}

func newStream() *stream { return &stream{waiting: map[string]bool{}, wake: make(chan struct{}, 1)} }

func (s *stream) add(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= maxWaiting {
		s.resync = true
		clear(s.waiting)
	}
	if !s.resync {
		s.waiting[id] = true
	}
	s.rouse()
}

// end has the page open its stream anew.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.rouse()
}

// rouse wakes the page's request. The caller holds the mutex.
func (s *stream) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take empties the stream.
func (s *stream) take() (ids []string, resync, ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.waiting {
		ids = append(ids, id)
	}
	clear(s.waiting)
	resync, s.resync = s.resync, false
	return ids, resync, s.ended
}

// events tells an open page of the load balancers that change, in all regions.
func (v *view) events() error {
	release, err := v.person.acquire(v.watches.streams, "pages that update themselves", maxStreamsOfUser, maxStreamsOfProject)
	if err != nil {
		return err
	}
	defer release()
	s := newStream()
	leave, err := v.join(s)
	if err != nil {
		return err
	}
	defer leave()
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.WriteHeader(http.StatusOK)
	if v.say(": hello\n\n") != nil {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	count := time.NewTicker(counting)
	defer count.Stop()
	for {
		select {
		case <-count.C:
			if v.say("event: numbers\ndata: \n\n") != nil {
				return nil
			}
		case <-s.wake:
			ids, resync, ended := s.take()
			if ended || v.tell(ids, resync) != nil {
				return nil
			}
		case <-beat.C:
			if !v.isStillIn() {
				_ = v.say("event: over\ndata: \n\n")
				return nil
			}
			if v.say(": still here\n\n") != nil {
				return nil
			}
		case <-v.watches.ctx.Done():
			return nil
		case <-v.r.Context().Done():
			return nil
		}
	}
}

func (v *view) tell(ids []string, resync bool) error {
	if resync {
		return v.say("event: resync\ndata: \n\n")
	}
	for _, id := range ids {
		if err := v.say("event: changed\ndata: " + id + "\n\n"); err != nil {
			return err
		}
	}
	return nil
}

// say writes to the page at once.
func (v *view) say(text string) error {
	if _, err := fmt.Fprint(v.w, text); err != nil {
		return err
	}
	err := http.NewResponseController(v.w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

// isStillIn tells whether the session goes on, with the same project.
func (v *view) isStillIn() bool {
	ctx, err := v.doors.load(v.r.WithContext(context.Background())) // the request's own has what it began with
	if err != nil {
		return false
	}
	now := v.doors.person(ctx)
	return now != nil && now.Project == v.person.Project
}

// join has the watches of all regions tell a stream.
func (v *view) join(s *stream) (leave func(), err error) {
	var joined []*watch
	leave = func() {
		for _, w := range joined {
			w.mu.Lock()
			delete(w.pages, s)
			w.used = time.Now()
			w.mu.Unlock()
		}
	}
	for _, region := range v.person.Regions {
		w, err := v.watch(region)
		if err == nil {
			err = w.join(s)
		}
		if err != nil {
			leave()
			return nil, err
		}
		joined = append(joined, w)
	}
	return leave, nil
}

func (w *watch) join(s *stream) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return &fault{status: http.StatusServiceUnavailable, message: "The load balancers are not watched any more. Try again."}
	}
	w.pages[s] = true
	return nil
}

// watch is the watch of a region of the person's project.
func (v *view) watch(region string) (*watch, error) {
	c, err := v.open(region)
	if err != nil {
		return nil, err
	}
	return v.watches.of(c)
}
