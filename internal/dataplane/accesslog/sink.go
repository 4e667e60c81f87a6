package accesslog

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
)

const (
	// maxQueued records wait to be written; further ones are dropped and counted.
	maxQueued = 8192
	// maxFileBytes is how large a listener's file grows before it takes the place of the one before.
	maxFileBytes = 64 << 20
	// maxTotalBytes is how much all files together may have; those that were written to longest ago are removed.
	maxTotalBytes = 1 << 30
	// maxOpenFiles are kept open at the same time.
	maxOpenFiles = 64
)

const (
	suffix  = ".jsonl"
	rotated = ".1" // after the suffix: the file before
)

// Sink writes the logs of any number of listeners to files in one directory, as lines of JSON: <listener id>.jsonl, and
// <listener id>.jsonl.1 with what came before.
type Sink struct {
	directory string
	log       *slog.Logger
	queue     chan Record
	dropped   atomic.Uint64
	limits    limits

	// Of Run alone.
	open    map[string]*file // by listener
	failing bool             // the last record could not be written
}

type limits struct{ file, total int64 }

// NewSink makes a sink; nothing is written before [Sink.Run].
func NewSink(directory string, log *slog.Logger) *Sink {
	return &Sink{
		directory: directory, log: log, queue: make(chan Record, maxQueued), open: map[string]*file{},
		limits: limits{maxFileBytes, maxTotalBytes},
	}
}

// Dropped is how many records were not written: there were too many, or the disk took none.
func (s *Sink) Dropped() uint64 { return s.dropped.Load() }

// take queues a record. It never blocks.
func (s *Sink) take(r Record) {
	select {
	case s.queue <- r:
	default:
		s.dropped.Add(1)
	}
}

// Run writes until ctx ends, and then what waits.
func (s *Sink) Run(ctx context.Context) error {
	defer s.closeAll()
	for {
		select {
		case r := <-s.queue:
			s.write(r)
			s.drain()
		case <-ctx.Done():
			s.drain()
			return nil
		}
	}
}

// drain writes what waits, and has the files get it.
func (s *Sink) drain() {
	for range len(s.queue) { // what comes meanwhile comes in the next round
		s.write(<-s.queue)
	}
	for id, f := range s.open {
		if err := f.buffer.Flush(); err != nil {
			s.failed(id, err)
		}
	}
}

func (s *Sink) write(r Record) {
	line, err := json.Marshal(r)
	if err == nil {
		var f *file
		if f, err = s.file(r.ListenerID); err == nil {
			err = f.append(append(line, '\n'))
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
	for id, f := range s.open {
		if err := errors.Join(f.buffer.Flush(), f.Close()); err != nil {
			s.failed(id, err)
		}
		delete(s.open, id)
	}
}

// listenerID is what may become a file's name.
var listenerID = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z-]{0,63}$`)

// file is a listener's open file, with room for another record.
func (s *Sink) file(id string) (*file, error) {
	f := s.open[id]
	if f != nil && f.size < s.limits.file {
		return f, nil
	}
	if !listenerID.MatchString(id) {
		return nil, fmt.Errorf("%q cannot name a file", id)
	}
	if f != nil || len(s.open) >= maxOpenFiles {
		s.closeAll()
	}
	path := filepath.Join(s.directory, id+suffix)
	if err := s.rotate(path); err != nil {
		return nil, err
	}
	f, err := openFile(path)
	if err != nil {
		return nil, fmt.Errorf("access log: %w", err)
	}
	s.open[id] = f
	return f, nil
}

// rotate moves a full file out of the way, and makes room for another.
func (s *Sink) rotate(path string) error {
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return fmt.Errorf("directory of access logs: %w", err)
	}
	if info, err := os.Stat(path); err == nil && info.Size() >= s.limits.file {
		if err := os.Rename(path, path+rotated); err != nil {
			return fmt.Errorf("full access log: %w", err)
		}
	}
	return s.makeRoom(path)
}

// makeRoom removes the files that were written to longest ago, until one more fits.
func (s *Sink) makeRoom(needed string) error {
	all, total, err := s.files()
	if err != nil {
		return err
	}
	for _, old := range all {
		if total+s.limits.file <= s.limits.total {
			break
		}
		if path := filepath.Join(s.directory, old.Name()); path != needed {
			if err := os.Remove(path); err != nil {
				return fmt.Errorf("old access log: %w", err)
			}
			total -= old.Size()
		}
	}
	return nil
}

// files are those of the directory, oldest first, and how many bytes they have.
func (s *Sink) files() (all []fs.FileInfo, bytes int64, err error) {
	entries, err := os.ReadDir(s.directory)
	if err != nil {
		return nil, 0, fmt.Errorf("directory of access logs: %w", err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(strings.TrimSuffix(entry.Name(), rotated), suffix) {
			continue
		}
		if info, err := entry.Info(); err == nil { // else it is gone already
			all = append(all, info)
			bytes += info.Size()
		}
	}
	slices.SortFunc(all, func(a, b fs.FileInfo) int {
		return cmp.Or(a.ModTime().Compare(b.ModTime()), strings.Compare(a.Name(), b.Name()))
	})
	return all, bytes, nil
}

// file is an open file.
type file struct {
	*os.File
	buffer *bufio.Writer
	size   int64
}

func openFile(path string) (*file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &file{File: f, buffer: bufio.NewWriter(f), size: info.Size()}, nil
}

func (f *file) append(line []byte) error {
	f.size += int64(len(line))
	_, err := f.buffer.Write(line)
	return err
}
