package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"poise/internal/config"
	"poise/internal/database"
	"poise/internal/rest"
)

// The pauses between attempts to reach the database at the start grow from firstPause to longestPause.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 10 * time.Second
)

// openDatabase opens the database for this process alone. While it cannot be reached it waits, and f tells clients so.
func openDatabase(ctx context.Context, c config.Config, f *front, frame rest.Frame) (*database.DB, error) {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		db, err := lockedDatabase(ctx, c)
		if err == nil || !database.IsUnavailable(err) || database.IsFull(err) {
			return db, err
		}
		if pause == firstPause {
			frame.Log.WarnContext(ctx, "the start waits for the database", "err", err)
		}
		f.start()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, errors.Join(errors.New("the database was not there until the end"), err, f.Close())
		}
	}
}

func lockedDatabase(ctx context.Context, c config.Config) (*database.DB, error) {
	db, err := database.Open(ctx, c.Database)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if err := db.Lock(ctx, database.Holder{Host: host, PID: os.Getpid(), DataDir: c.DataDir, Since: time.Now()}); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// classify says of errors what all APIs need to know of them.
func classify(err error) error {
	switch {
	case database.IsUnavailable(err):
		return fmt.Errorf("%w (%w)", rest.ErrUnavailable, err)
	case database.IsNotText(err):
		return rest.ErrNotText
	}
	return err
}
