package accesslog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFollowersGetWhatIsWrittenMeanwhile(t *testing.T) {
	var l Log
	if l.Wanted() {
		t.Error("somebody wants the records of a log that nobody follows")
	}
	ctx, cancel := context.WithCancel(t.Context())
	f, slow := l.Follow(ctx), l.Follow(t.Context())
	for i := range maxWaiting + 3 {
		l.Write(Record{Status: i})
		if i < 3 {
			if r := <-f.Records; r.Status != i {
				t.Errorf("got %d, want %d", r.Status, i)
			}
		}
	}
	if got := [2]uint64{f.Dropped.Load(), slow.Dropped.Load()}; got != [2]uint64{0, 3} {
		t.Errorf("dropped %v, want none and 3", got)
	}
	cancel()
	for deadline := time.Now().Add(10 * time.Second); ; {
		l.mu.Lock()
		left := len(l.followers)
		l.mu.Unlock()
		if left == 1 || time.Now().After(deadline) {
			break
		}
	}
	l.Write(Record{})
	if !l.Wanted() || len(f.Records) != maxWaiting {
		t.Errorf("wanted %v, and the one who left has %d records", l.Wanted(), len(f.Records))
	}
}

// running runs a sink, and returns what ends it.
func running(s *Sink) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return func() { cancel(); <-done }
}

func TestSinkWritesLines(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "access-log")
	s := NewSink(dir, slog.New(slog.DiscardHandler))
	stop := running(s)
	var one, two Log
	one.Keep(s, "p")
	two.Keep(s, "p")
	record := Record{Time: time.Unix(1, 0).UTC(), ListenerID: "one", Client: "10.0.0.1:5", Target: "/\n", Status: 200, End: Complete}
	one.Write(record)
	two.Write(Record{ListenerID: "two", End: ClientTimeout})
	two.Write(Record{ListenerID: "../evil"})
	one.Keep(nil, "")
	one.Write(record)
	stop()
	if one.Wanted() || !two.Wanted() || s.Dropped() != 1 {
		t.Errorf("wanted %v %v, dropped %d", one.Wanted(), two.Wanted(), s.Dropped())
	}
	path := filepath.Join(dir, "one.jsonl")
	data, err := os.ReadFile(path)
	var got fileLine
	if err := json.Unmarshal(data, &got); err != nil || got.ProjectID != "p" || bytes.Count(data, []byte("\n")) != 1 {
		t.Errorf("%q: %v", data, err)
	}
	if diff := cmp.Diff(record, got.Record); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the directory: %v %v", entries, err)
	}
}

// small are limits that a test reaches soon. A line of "flood" has some 250 bytes.
var small = limits{file: 1000, least: 100, total: 16_000, open: 4}

// flood has listeners of a project write lines, one after the other.
func flood(s *Sink, projectID string, lines int, listeners ...string) {
	for i := range lines {
		for _, id := range listeners {
			s.take(projectID, Record{ListenerID: id, Target: strings.Repeat("x", 50), Status: i})
		}
	}
}

// TestFilesAreBounded has more listeners write than the disk may hold. Another project's files stay, also those that are older,
// and also after a restart.
func TestFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	var s *Sink
	write := func(projectID string, lines int, listeners ...string) {
		stop := running(s)
		flood(s, projectID, lines, listeners...)
		stop()
		if s.disk.scan(); s.disk.used > small.total+2*small.file {
			t.Errorf("%d bytes after %s", s.disk.used, listeners)
		}
		if s.Dropped() != 0 {
			t.Errorf("dropped %d", s.Dropped())
		}
	}
	s = newSink(dir, slog.New(slog.DiscardHandler), small)
	write("theirs", 1, "quiet")
	for listener := range 20 {
		write("ours", 40, fmt.Sprint(listener))
	}
	s = newSink(dir, slog.New(slog.DiscardHandler), small) // which has forgotten whose files are whose
	for listener := range 20 {
		write("ours", 40, fmt.Sprint(20+listener))
	}
	last, err := os.ReadFile(filepath.Join(dir, "39.jsonl"))
	if err != nil || !bytes.Contains(last, []byte(`"status":39`)) || len(last) > 1300 {
		t.Errorf("last file: %d bytes, %v", len(last), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "39.jsonl.1")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "0.jsonl")); err == nil {
		t.Error("the oldest file is still there")
	}
	if _, err := os.Stat(filepath.Join(dir, "quiet.jsonl")); err != nil {
		t.Error("another project's file:", err)
	}
}

// TestSmallFilesAreBounded has a project write one line for each of very many listeners.
func TestSmallFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	s := newSink(dir, slog.New(slog.DiscardHandler), small)
	stop := running(s)
	for i := range 1000 {
		flood(s, "ours", 1, fmt.Sprint(i))
	}
	stop()
	if entries, err := os.ReadDir(dir); err != nil || int64(len(entries)) > small.total/small.least {
		t.Errorf("%d files: %v", len(entries), err)
	}
}

// TestFloodLeavesOthersTheQueue has one project fill the queue before another one writes: nothing of the other's is lost, and it
// does not wait until all of the first one's is written.
func TestFloodLeavesOthersTheQueue(t *testing.T) {
	dir := t.TempDir()
	s := newSink(dir, slog.New(slog.DiscardHandler), limits{maxFileBytes, leastFileBytes, maxTotalBytes, maxOpenFiles})
	flood(s, "ours", maxQueued, "a", "b")
	flood(s, "theirs", maxQueued/2, "c")
	flood(s, "ours", 100, "a")
	if first, _ := s.queue.next(1); first != "ours" {
		t.Errorf("first is %s", first)
	}
	if second, _ := s.queue.next(1); second != "theirs" {
		t.Errorf("second is %s", second)
	}
	running(s)()
	data, err := os.ReadFile(filepath.Join(dir, "c.jsonl"))
	if got := bytes.Count(data, []byte("\n")); err != nil || got != maxQueued/2-1 { // the one that next has taken
		t.Errorf("%d lines of the other project, want %d: %v", got, maxQueued/2-1, err)
	}
	if want := uint64(2*maxQueued + 100 - maxQueued/2); s.Dropped() != want {
		t.Errorf("dropped %d, want %d", s.Dropped(), want)
	}
}

// TestOpenFilesAreShared has one project write to more files than may be open. Another one's stays open.
func TestOpenFilesAreShared(t *testing.T) {
	s := newSink(t.TempDir(), slog.New(slog.DiscardHandler), small)
	defer s.closeAll()
	flood(s, "theirs", 1, "quiet")
	flood(s, "ours", 3, "1", "2", "3", "4", "5")
	s.drain()
	if s.open["quiet"] == nil || len(s.open) != small.open || s.Dropped() > 0 {
		t.Errorf("%d files are open, the other project's %v; dropped %d", len(s.open), s.open["quiet"], s.Dropped())
	}
}

func TestFullQueueAndDiskCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSink(file, slog.New(slog.DiscardHandler)) // no directory can be made there
	for range maxQueued + 5 {
		s.take("p", Record{ListenerID: "x"})
	}
	if got := s.Dropped(); got != 5 {
		t.Errorf("dropped %d, want 5", got)
	}
	running(s)()
	if got := s.Dropped(); got != maxQueued+5 {
		t.Errorf("dropped %d, want all", got)
	}
}
