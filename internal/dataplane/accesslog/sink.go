package accesslog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"time"
)

// What all access logs together may have. Each limit is shared: while it is reached, the project that has most gives way.
const (
	// maxQueued records wait to be written; further ones are dropped and counted.
	maxQueued = 16_384
	// maxFileBytes is how large a listener's file grows before it takes the place of the one before.
	maxFileBytes = 64 << 20
	// maxTotalBytes is how much all files together may have.
	maxTotalBytes = 1 << 30
	// leastFileBytes is what each file counts beside its size, so that very many small ones find their end too.
	leastFileBytes = 64 << 10
	// maxOpenFiles are kept open at the same time.
	maxOpenFiles = 64
)

const (
	// turnRecords of one project are written before it is the next one's turn.
	turnRecords = 256
	// lossPause is the least time between two lines of the server's log about records that were lost.
	lossPause = time.Minute
)

const (
	suffix  = ".jsonl"
	rotated = ".1" // after the suffix: the file before
)

// Sink writes the logs of any number of listeners to files in one directory, as lines of JSON: <listener id>.jsonl, and
// <listener id>.jsonl.1 with what came before. Listeners belong to projects, which share what there is of the queue, the open
// files and the disk: one that writes much cannot take what others need.
type Sink struct {
	directory string
	log       *slog.Logger
	queue     *queue
	dropped   atomic.Uint64
	limits    limits

	// Of Run alone.
	open    map[string]*file // by listener
	uses    uint64           // counts the uses of files, to know which one was used longest ago
	disk    disk
	failing bool // the last record could not be written

	lossSaid atomic.Int64 // when the log last said that records were lost, in ns since 1970
}

type limits struct {
	file, least, total int64 // bytes
	open               int
}

// NewSink makes a sink; nothing is written before [Sink.Run].
func NewSink(directory string, log *slog.Logger) *Sink {
	return newSink(directory, log, limits{maxFileBytes, leastFileBytes, maxTotalBytes, maxOpenFiles})
}

func newSink(directory string, log *slog.Logger, l limits) *Sink {
	return &Sink{
		directory: directory, log: log, queue: newQueue(maxQueued), limits: l, open: map[string]*file{},
		disk: disk{directory: directory, limit: l.total, least: l.least},
	}
}

// Dropped is how many records were not written: there were too many, or the disk took none.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// take queues a record of a project's listener. It never blocks.
func (s *Sink) take(projectID string, r Record) {
	loser, lost := s.queue.add(projectID, r)
	if !lost {
		return
	}
	s.dropped.Add(1)
	now, said := time.Now().UnixNano(), s.lossSaid.Load()
	if now-said > int64(lossPause) && s.lossSaid.CompareAndSwap(said, now) {
		s.log.Warn("access logs: records are lost, more come than the disk takes", "project", loser, "lost", s.dropped.Load())
	}
}

// Run writes until ctx ends, and then what waits.
func (s *Sink) Run(ctx context.Context) error {
	defer s.closeAll()
	s.disk.scan()
	for {
		select {
		case <-s.queue.ready:
			s.drain()
		case <-ctx.Done():
			s.drain()
			return nil
		}
	}
}

// drain writes what waits, the projects in turns, and has the files get it.
func (s *Sink) drain() {
	for left := maxQueued; left > 0; { // then the files get it, also when there is always more
		projectID, records := s.queue.next(turnRecords)
		if len(records) == 0 {
			break
		}
		left -= len(records)
		for _, r := range records {
			s.write(projectID, r)
		}
	}
	for id, f := range s.open {
		if err := f.buffer.Flush(); err != nil {
			s.failed(id, err)
		}
	}
}

// fileLine is a line of a file. The disk's use is counted by what its first field says.
type fileLine struct {
	ProjectID string `json:"project_id"`
	Record
}

func (s *Sink) write(projectID string, r Record) {
	line, err := json.Marshal(fileLine{projectID, r})
	if err == nil {
		var f *file
		if f, err = s.file(projectID, r.ListenerID); err == nil {
			err = f.append(append(line, '\n'))
			s.disk.used += int64(len(line) + 1)
		}
	}
	if err != nil {
		s.failed(r.ListenerID, err)
		return
	}
	s.failing = false
}

// failed counts a record that could not be written, and says so once. The file is opened anew for the next one.
func (s *Sink) failed(id string, err error) {
	s.dropped.Add(1)
	if !s.failing {
		s.log.Warn("access logs are not written", "listener", id, "err", err)
	}
	s.failing = true
	if f := s.open[id]; f != nil {
		_ = f.Close()
		delete(s.open, id)
	}
}

func (s *Sink) closeAll() {
	for id := range s.open {
		s.close(id)
	}
}

func (s *Sink) close(id string) {
	f := s.open[id]
	if err := errors.Join(f.buffer.Flush(), f.Close()); err != nil {
		s.failed(id, err)
	}
	delete(s.open, id)
}

// listenerID is what may become a file's name.
var listenerID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,63}$`)

// file is a listener's open file, with room for another record.
func (s *Sink) file(projectID, id string) (*file, error) {
	if s.disk.used > s.disk.limit {
		if err := s.makeRoom(); err != nil {
			return nil, err
		}
	}
	s.uses++
	f := s.open[id]
	if f != nil && f.size < s.limits.file {
		f.used = s.uses
		return f, nil
	}
	if !listenerID.MatchString(id) {
		return nil, fmt.Errorf("%q cannot name a file", id)
	}
	switch {
	case f != nil:
		s.close(id)
	case len(s.open) >= s.limits.open:
		s.close(s.toClose())
	}
	path := filepath.Join(s.directory, id+suffix)
	if err := s.rotate(path); err != nil {
		return nil, err
	}
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	if f.size == 0 {
		s.disk.used += s.limits.least
	}
	f.projectID, f.used = projectID, s.uses
	s.open[id] = f
	return f, nil
}

// toClose is the listener whose file makes room for another open one: of the project with most open files, the one that was
// written to longest ago.
func (s *Sink) toClose() (id string) {
	count := map[string]int{}
	for _, f := range s.open {
		count[f.projectID]++
	}
	for other, f := range s.open {
		chosen := s.open[id]
		if chosen == nil || count[f.projectID] > count[chosen.projectID] ||
			count[f.projectID] == count[chosen.projectID] && f.used < chosen.used {
			id = other
		}
	}
	return id
}

// makeRoom removes files until the disk's limit is kept.
func (s *Sink) makeRoom() error {
	return s.disk.makeRoom(func(listener string) {
		if s.open[listener] != nil {
			s.close(listener)
		}
	})
}

// rotate moves a full file out of the way.
func (s *Sink) rotate(path string) error {
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return fmt.Errorf("directory of access logs: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() >= s.limits.file {
		if err := os.Rename(path, path+rotated); err != nil {
			return fmt.Errorf("full access log: %w", err)
		}
	}
	return nil
}
