package accesslog

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// disk bounds what the files of a directory have together. The limit is shared by projects: which one a file belongs to stands
// in its first line.
type disk struct {
	directory    string
	limit, least int64 // bytes: of all files, and what each counts beside its size

	used     int64             // at most too much: files are counted anew before any is removed
	projects map[string]string // by listener, of the files that were there at the last count
}

// logFile is one of the files.
type logFile struct {
	fs.FileInfo
	listener, projectID string
}

// scan counts what is there.
func (d *disk) scan() (all []logFile) {
	entries, _ := os.ReadDir(d.directory) // where there is none there are no files
	known := d.projects
	d.used, d.projects = 0, map[string]string{}
	for _, entry := range entries {
		listener, isLog := strings.CutSuffix(strings.TrimSuffix(entry.Name(), rotated), suffix)
		info, err := entry.Info()
		if !isLog || err != nil { // it is gone already
			continue
		}
		projectID, ok := known[listener]
		if !ok {
			projectID = d.projectOf(entry.Name())
		}
		d.projects[listener] = projectID
		d.used += info.Size() + d.least
		all = append(all, logFile{info, listener, projectID})
	}
	return all
}

// maxFirstLine is how much of a file is read to know whose it is, in bytes. The project stands at the beginning of the line.
const maxFirstLine = 64 << 10

// projectOf is "" for a file of which nobody knows.
func (d *disk) projectOf(name string) string {
	f, err := os.Open(filepath.Join(d.directory, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	first, _ := bufio.NewReader(io.LimitReader(f, maxFirstLine)).ReadBytes('\n')
	var line struct {
		ProjectID string `json:"project_id"`
	}
	_ = json.Unmarshal(first, &line)
	return line.ProjectID
}

// makeRoom removes files until a sixteenth of the limit is free, so that it is not called for each record: each time the file
// that was written to longest ago, of the project that has most. It closes a file before it removes it.
func (d *disk) makeRoom(closeFile func(listener string)) error {
	all := d.scan()
	if d.used <= d.limit {
		return nil
	}
	slices.SortFunc(all, func(a, b logFile) int { return a.ModTime().Compare(b.ModTime()) })
	files, bytes := map[string][]logFile{}, map[string]int64{} // by project
	for _, f := range all {
		files[f.projectID] = append(files[f.projectID], f)
		bytes[f.projectID] += f.Size() + d.least
	}
	for d.used > d.limit-d.limit/16 {
		most := ""
		for projectID := range bytes {
			if bytes[projectID] > bytes[most] {
				most = projectID
			}
		}
		oldest := files[most][0]
		closeFile(oldest.listener)
		if err := os.Remove(filepath.Join(d.directory, oldest.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("old access log: %w", err)
		}
		files[most] = files[most][1:]
		bytes[most] -= oldest.Size() + d.least
		d.used -= oldest.Size() + d.least
	}
	return nil
}
