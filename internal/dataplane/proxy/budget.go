package proxy

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// exhaustionLogInterval is the shortest time between two log lines about missing descriptors.
const exhaustionLogInterval = time.Minute

// budget counts the file descriptors that listening sockets, connections and pipes hold, and refuses more than there may be: a process
// without a free descriptor could not even open its own files.
type budget struct {
	limit    int64
	used     atomic.Int64
	log      *slog.Logger
	nextLine atomic.Int64 // Unix time, seconds, from which the next log line may be written
}

func newBudget(limit int64, log *slog.Logger) *budget { return &budget{limit: limit, log: log} }

// take reserves n descriptors, all or none.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

// reserve counts n descriptors that are there already.
func (b *budget) reserve(n int64) { b.used.Add(n) }

func (b *budget) give(n int64) { b.used.Add(-n) }

// exhausted tells the operator, once in a while.
func (b *budget) exhausted(cause error) {
	now, next := time.Now().Unix(), b.nextLine.Load()
	if now < next || !b.nextLine.CompareAndSwap(next, now+int64(exhaustionLogInterval/time.Second)) {
		return
	}
	b.log.Warn("out of file descriptors, new connections wait", "used", b.used.Load(), "limit", b.limit, "cause", cause)
}
