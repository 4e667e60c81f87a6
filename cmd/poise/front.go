package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"

	"poise/internal/rest"
)

// front is the HTTP server. Until the APIs are open it says that it waits for the database.
type front struct {
	*http.Server

	listener net.Listener
	handler  atomic.Pointer[http.Handler]
	once     sync.Once
	ended    chan error
}

func newFront(listener net.Listener, frame rest.Frame) *front {
	f := &front{listener: listener, ended: make(chan error, 1)}
	f.show(frame.Around(http.HandlerFunc(waiting)))
	f.Server = rest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*f.handler.Load()).ServeHTTP(w, r)
	}), frame.Log)
	return f
}

// show has handler answer from now on.
func (f *front) show(handler http.Handler) { f.handler.Store(&handler) }

// start accepts requests, once.
func (f *front) start() {
	f.once.Do(func() {
		go func() {
			err := f.Serve(f.listener)
			if errors.Is(err, http.ErrServerClosed) {
				err = nil
			} else {
				err = fmt.Errorf("the server's address: %w", err)
			}
			f.ended <- err
		}()
	})
}

// run serves until the server is shut down.
func (f *front) run() error {
	f.start()
	return <-f.ended
}

// waiting answers before the APIs are open.
func waiting(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "5")
	http.Error(w, "the database does not answer; the server starts as soon as it does", http.StatusServiceUnavailable)
}
