package metrics

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// minToken is the length of the shortest token that is worth the name: that of one that is made here.
const minToken = 26

// EnsureToken reads the file with the token, and makes it when it is not there. Whoever can read the file may read the
// metrics; to take that back, one removes the file and starts the server anew.
func EnsureToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("token for metrics: %w", err)
	}
	token := strings.TrimSpace(string(text))
	switch {
	case token == "":
		token = rand.Text()
		return token, writeToken(path, token)
	case len(token) < minToken:
		return "", fmt.Errorf("token for metrics: %s has fewer than %d characters; remove it to have another made", path, minToken)
	}
	return token, nil
}

// writeToken makes the file as a whole: after a crash it is there or not.
func writeToken(path, token string) error {
	file, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("token for metrics: %w", err)
	}
	_, err = file.WriteString(token + "\n")
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("token for metrics: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("token for metrics: %w", err)
	}
	return nil
}
