package tlsconf

import (
	"crypto/sha256"
	"encoding/binary"
	"runtime"
	"sync"
	"weak"
)

// digest identifies bytes, or a list of them.
type digest [sha256.Size]byte

// digestOf depends on where one part ends and the next begins.
func digestOf(parts ...[]byte) (d digest) {
	h := sha256.New()
	for _, part := range parts {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		h.Write(length[:])
		h.Write(part)
	}
	h.Sum(d[:0])
	return d
}

// shared keeps what was parsed, as long as somebody uses it, and hands it to all who parse the same bytes. The zero value is ready.
type shared[T any] struct {
	mu     sync.Mutex // guards parsed
	parsed map[digest]weak.Pointer[T]
}

// get parses only what nobody has. Two who come at once may both parse; one result is kept.
func (s *shared[T]) get(key digest, parse func() (*T, error)) (*T, error) {
	if known := s.lookup(key); known != nil {
		return known, nil
	}
	fresh, err := parse()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.parsed[key].Value(); known != nil {
		return known, nil
	}
	if s.parsed == nil {
		s.parsed = map[digest]weak.Pointer[T]{}
	}
	s.parsed[key] = weak.Make(fresh)
	runtime.AddCleanup(fresh, s.forget, key)
	return fresh, nil
}

func (s *shared[T]) lookup(key digest) *T {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.parsed[key].Value()
}

// forget runs after the last user is gone; somebody may have parsed it anew meanwhile.
func (s *shared[T]) forget(key digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed[key].Value() == nil {
		delete(s.parsed, key)
	}
}
