package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"poise/internal/clouds"
)

// tighten takes from others what they may do with the data directory and the secrets in it, and says so: whoever made or
// copied them by hand may have left them open.
func tighten(dir string, log *slog.Logger) error {
	for _, name := range []string{"", clouds.FileName, "secrets.key", "metrics.token", "poise.db", "poise.db-wal"} {
		path := filepath.Join(dir, name)
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("data directory: %w", err)
		}
		mode := info.Mode().Perm()
		if mode&0o077 == 0 || info.Mode().Type() == fs.ModeSymlink {
			continue
		}
		if err := os.Chmod(path, mode&^0o077); err != nil {
			return fmt.Errorf("%s is open to other users (mode %04o): %w", path, mode, err)
		}
		log.Warn("a file of the data directory was open to other users; it is not any more", "path", path, "mode", fmt.Sprintf("%04o", mode))
	}
	return nil
}
