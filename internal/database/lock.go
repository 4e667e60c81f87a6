package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

const (
	// lockKey is the number of the advisory lock in PostgreSQL: "poise" in ASCII.
	lockKey = 0x706f697365
	// lockPatience is how long [DB.Lock] waits for a holder that is just ending.
	lockPatience = 3 * time.Second
	lockRetry    = 50 * time.Millisecond
	// watchInterval is how often a holder looks whether its lock is still there, and watchTimeout how long that may take.
	watchInterval = 2 * time.Second
	watchTimeout  = 5 * time.Second
	// The pauses between attempts to reach a database that is away grow from firstPause to longestPause.
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// Holder is a server that uses a database.
type Holder struct {
	Host    string
	PID     int
	DataDir string
	Since   time.Time
}

// HeldError says that another server uses the database.
type HeldError struct {
	By Holder

	token string // of the holder, on PostgreSQL
}

func (e *HeldError) Error() string {
	if e.By.PID == 0 {
		return "the database is in use by another poise that is just starting"
	}
	return fmt.Sprintf("the database is in use by another poise: process %d on host %s, data directory %s, since %s",
		e.By.PID, e.By.Host, e.By.DataDir, e.By.Since.UTC().Format(time.RFC3339))
}

// errNotHolder is what connections to PostgreSQL get once another server has taken the lock.
var errNotHolder = errors.New("another poise has taken the database over")

// Lock makes this process the only server on the database, or fails with a [*HeldError] and has changed nothing. Call it
// before anything else, and [DB.KeepLock] afterwards.
//
// On PostgreSQL the lock is a session's advisory lock, and its holder is a row. A server takes the lock, writes its token
// into the row, and ends the sessions of the holder before it, whose new sessions find that the row is not theirs. So a
// server that loses its session and does not know it yet can change nothing once another one has begun.
func (db *DB) Lock(ctx context.Context, me Holder) error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := db.tryLock(ctx, me)
		var held *HeldError
		if !errors.As(err, &held) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-time.After(lockRetry):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (db *DB) tryLock(ctx context.Context, me Holder) error {
	if db.postgres == nil {
		return db.lockFile(me)
	}
	session, err := db.lockSession(ctx)
	if err != nil {
		return err
	}
	if err := db.takeOver(ctx, session, me); err != nil {
		return errors.Join(fmt.Errorf("lock of the database: %w", err), session.Close(ctx))
	}
	db.session = session
	db.locked.Store(true)
	return nil
}

// lockFile locks a file beside SQLite's. The lock goes with the process, however it ends.
func (db *DB) lockFile(me Holder) error {
	file, err := os.OpenFile(db.sqlite.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock of the database: %w", err)
	}
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		held := &HeldError{}
		_ = json.NewDecoder(file).Decode(&held.By)
		_ = file.Close()
		return held
	}
	db.file = file
	text, err := json.Marshal(me)
	if err != nil {
		return fmt.Errorf("lock of the database: %w", err)
	}
	// Who holds it is only told to others; on a full disk they are not.
	if _, err := file.WriteAt(text, 0); err == nil {
		_ = file.Truncate(int64(len(text)))
	}
	return nil
}

// lockSession connects and takes the advisory lock. PostgreSQL notices within half a minute when our host has died.
func (db *DB) lockSession(ctx context.Context) (*pgx.Conn, error) {
	config := db.postgres.Copy()
	for name, seconds := range map[string]string{"idle": "10", "interval": "5", "count": "3"} {
		config.RuntimeParams["tcp_keepalives_"+name] = seconds
	}
	session, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	var got bool
	if err := session.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockKey).Scan(&got); err != nil {
		return nil, errors.Join(fmt.Errorf("lock of the database: %w", err), session.Close(ctx))
	}
	if !got {
		held := &HeldError{}
		held.token, held.By, _ = readHolder(ctx, session) // without the table its holder is about to make it
		return nil, errors.Join(held, session.Close(ctx))
	}
	return session, nil
}

func readHolder(ctx context.Context, session *pgx.Conn) (token string, by Holder, err error) {
	var since int64
	err = session.QueryRow(ctx, "SELECT token, host, pid, data_dir, since FROM poise_server").
		Scan(&token, &by.Host, &by.PID, &by.DataDir, &since)
	by.Since = time.UnixMicro(since)
	return token, by, err
}

// takeOver says who holds the lock now, and ends the sessions of whoever held it before.
func (db *DB) takeOver(ctx context.Context, session *pgx.Conn, me Holder) error {
	_, err := session.Exec(ctx, `CREATE TABLE IF NOT EXISTS poise_server (
		one BOOLEAN PRIMARY KEY CHECK (one), token TEXT NOT NULL,
		host TEXT NOT NULL, pid BIGINT NOT NULL, data_dir TEXT NOT NULL, since BIGINT NOT NULL)`)
	if err != nil {
		return err
	}
	_, err = session.Exec(ctx, `INSERT INTO poise_server VALUES (TRUE, $1, $2, $3, $4, $5)
		ON CONFLICT (one) DO UPDATE SET token = excluded.token, host = excluded.host, pid = excluded.pid,
		data_dir = excluded.data_dir, since = excluded.since`, db.token, me.Host, me.PID, me.DataDir, me.Since.UnixMicro())
	if err != nil {
		return err
	}
	_, err = session.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()
		AND usename = current_user AND application_name LIKE $1 AND application_name <> $2`, applicationName("")+"%", applicationName(db.token))
	return err
}

// applicationName names the sessions of the server with the token.
func applicationName(token string) string { return "poise-" + token }

// checkHolder is called for each new session of the pool.
func (db *DB) checkHolder(ctx context.Context, session *pgx.Conn) error {
	if !db.locked.Load() {
		return nil
	}
	token, _, err := readHolder(ctx, session)
	if err == nil && token != db.token {
		err = errNotHolder
	}
	return err
}

// KeepLock watches over the lock until ctx ends; on SQLite, over a database that was opened on a full disk. While the database is away it waits for it. Once another server has the
// lock it returns a [*HeldError]: then this one has to end.
func (db *DB) KeepLock(ctx context.Context) error {
	if db.postgres == nil {
		db.awaitRoom(ctx)
		<-ctx.Done()
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), watchTimeout)
		defer cancel()
		_ = db.session.Close(ctx)
	}()
	for pause := watchInterval; ; {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
		err := db.relock(ctx)
		var held *HeldError
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.As(err, &held):
			return err
		case err == nil:
			pause = watchInterval
		case pause == watchInterval:
			pause = firstPause
		default:
			pause = min(2*pause, longestPause)
		}
	}
}

// relock makes sure that the lock is held, in another session if need be.
func (db *DB) relock(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	if !db.session.IsClosed() {
		if err := db.session.Ping(ctx); err == nil {
			return nil
		}
		_ = db.session.Close(ctx)
	}
	session, err := db.lockSession(ctx)
	var held *HeldError
	if errors.As(err, &held) && held.token == db.token {
		return errors.New("the database has not noticed yet that the session of the lock has ended")
	}
	if err != nil {
		return err
	}
	token, by, err := readHolder(ctx, session)
	if err == nil && token != db.token {
		err = &HeldError{By: by}
	}
	if err != nil {
		return errors.Join(err, session.Close(ctx))
	}
	db.session = session
	return nil
}
