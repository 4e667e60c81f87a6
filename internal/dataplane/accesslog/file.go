package accesslog

import (
	"bufio"
	"errors"
	"os"
)

// file is an open file.
type file struct {
	*os.File
	buffer    *bufio.Writer
	size      int64
	projectID string
	used      uint64 // which of the sink's uses was the last
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
