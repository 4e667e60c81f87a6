package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed static
var static embed.FS

// assets are the files that pages refer to. Their addresses carry a hash of their content, so that browsers keep them for
// as long as they like.
type assets struct {
	byName map[string]asset
	names  map[string]string // the name with the hash, by the name in the source
}

type asset struct {
	contentType string
	plain       []byte
	zipped      []byte
}

func loadAssets() (*assets, error) {
	a := &assets{byName: map[string]asset{}, names: map[string]string{}}
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(name) == ".LICENSE" {
			return err
		}
		content, err := static.ReadFile(name)
		if err != nil {
			return err
		}
		zipped, err := zip(content, gzip.BestCompression)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(name)
		base := path.Base(name)
		hashed := strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		a.names[base] = Base + "/static/" + hashed
		a.byName[hashed] = asset{contentType: mime.TypeByExtension(ext), plain: content, zipped: zipped}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("files of the console: %w", err)
	}
	return a, nil
}

// href is the address of a file. A name that is not there is a mistake of the program.
func (a *assets) href(name string) string {
	address, ok := a.names[name]
	if !ok {
		panic("no asset " + name)
	}
	return address
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	found, ok := a.byName[r.PathValue("name")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", found.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	send(w, r, http.StatusOK, found.plain, found.zipped)
}

// send writes the zipped form to clients that take it.
func send(w http.ResponseWriter, r *http.Request, status int, plain, zipped []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	if zipped != nil && takesGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		plain = zipped
	}
	w.WriteHeader(status)
	_, _ = w.Write(plain)
}

func takesGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

func zip(content []byte, level int) ([]byte, error) {
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, level)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zipped.Bytes(), nil
}
