package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"sync/atomic"
	"syscall"

	"poise/internal/config"
)

// live is what of the configuration can change while the server runs.
type live struct {
	level    slog.LevelVar
	requests atomic.Bool
}

func (l *live) set(c config.Log) {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.Level)) // checked when the configuration was read
	l.level.Set(level)
	l.requests.Store(c.Requests)
}

// reloader reads the configuration again at each SIGHUP.
type reloader struct {
	read   func() (config.Config, error)
	is     config.Config
	live   *live
	log    *slog.Logger
	signal chan os.Signal
}

// newReloader has SIGHUP be noted from now on, also while the server is still starting.
func newReloader(is config.Config, read func() (config.Config, error), l *live, log *slog.Logger) *reloader {
	r := &reloader{read: read, is: is, live: l, log: log, signal: make(chan os.Signal, 1)}
	signal.Notify(r.signal, syscall.SIGHUP)
	return r
}

// run takes over what can change: [log] level and requests. A configuration with a mistake changes nothing.
func (r *reloader) run(ctx context.Context) {
	defer signal.Stop(r.signal)
	for {
		select {
		case <-r.signal:
		case <-ctx.Done():
			return
		}
		c, err := r.read()
		if err != nil {
			r.log.ErrorContext(ctx, "the configuration stays as it is", "err", err)
			continue
		}
		rest := c
		rest.Log.Level, rest.Log.Requests = r.is.Log.Level, r.is.Log.Requests
		if !reflect.DeepEqual(rest, r.is) {
			r.log.WarnContext(ctx, "the configuration has changes that need a restart; of it, [log] level and requests count now")
		}
		r.is.Log.Level, r.is.Log.Requests = c.Log.Level, c.Log.Requests
		r.live.set(c.Log)
		r.log.InfoContext(ctx, "the configuration was read again", "level", c.Log.Level, "requests", c.Log.Requests)
	}
}
