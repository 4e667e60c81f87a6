package barbican

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	// keyBytes is the length of a key: AES-256.
	keyBytes = 32
	// keyIDBytes is the length of the id of a key, as bytes.
	keyIDBytes = 8
	// maxKeyFile is the longest key file in bytes: more keys than anybody will have rotated.
	maxKeyFile = 64 << 10
)

const keyFileHeader = `# The key manager's keys: "id key", one on each line. The first one encrypts new secrets, all of them decrypt.
# Keep a copy in a safe place: without its key no secret can be read again.
`

// keyring is the content of a key file: the keys that wrap the secrets' own keys.
type keyring struct {
	current string            // id of the key for new secrets
	keys    map[string][]byte // by id
}

// readKeys reads the key file and makes sure that it survives a power cut before a key of it is used: whoever made it may
// have crashed just before. Its error is an [fs.ErrNotExist] when there is none.
func readKeys(path string) (*keyring, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	ring, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w; restore it from a copy", path, err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return ring, nil
}

func parseKeys(text []byte) (*keyring, error) {
	if len(text) > maxKeyFile {
		return nil, fmt.Errorf("it is longer than %d bytes", maxKeyFile)
	}
	ring := &keyring{keys: map[string][]byte{}}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, key, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if ring.current == "" {
			ring.current = id
		}
		ring.keys[id] = key
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if ring.current == "" {
		return nil, errors.New("it holds no key")
	}
	return ring, nil
}

// parseKey reads one line. Its errors do not repeat it.
func parseKey(line string) (id string, key []byte, err error) {
	id, text, found := strings.Cut(line, " ")
	if !found {
		return "", nil, errors.New("an id and a key are needed")
	}
	key, err = base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != keyBytes || !hmac.Equal([]byte(id), []byte(keyID(key))) {
		return "", nil, errors.New("the key is damaged")
	}
	return id, key, nil
}

// keyID is the id of a key. It follows from the key, so that a damaged one is found, and says nothing about it.
func keyID(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("poise key id"))
	return hex.EncodeToString(mac.Sum(nil)[:keyIDBytes])
}

// makeKeys makes a key file with one new key and reads it. A crash leaves all of it or none. A file that is there already
// is never replaced: it is read.
func makeKeys(path string) (*keyring, error) {
	key := make([]byte, keyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("new key: %w", err)
	}
	text := fmt.Sprintf("%s%s %s\n", keyFileHeader, keyID(key), base64.StdEncoding.EncodeToString(key))
	if err := createWhole(path, []byte(text)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key file: %w", err)
	}
	return readKeys(path)
}

// createWhole makes the file with mode 0600 and all of its text, or fails with [fs.ErrExist] when it is there.
func createWhole(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, filepath.Base(path)+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(next.Name()) }()
	_, err = next.Write(text)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Link(next.Name(), path) // unlike a rename it replaces nothing
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(dir string) error {
	opened, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(opened.Sync(), opened.Close())
}
