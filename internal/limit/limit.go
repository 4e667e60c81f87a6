// Package limit bounds how many of something run at once, in all and for each holder, so that no holder can take all of it.
//
//	followers := limit.NewSlots(64)
//	release, err := followers.Acquire(limit.Share{Holder: "project " + id, Max: 16})
//	if err != nil {
//		return err // says which limit is reached
//	}
//	defer release()
package limit

import (
	"fmt"
	"sync"
)

// Slots is a fixed number of places that holders take and give back. It is safe for concurrent use.
type Slots struct {
	total int

	mu   sync.Mutex // guards used and held
	used int
	held map[string]int // by holder; a holder without slots has no entry
}

// Share is the most slots that one holder may have at a time. Holder names whom the share belongs to, such as "user 4711".
type Share struct {
	Holder string
	Max    int
}

// Error says which limit was reached.
type Error struct {
	Holder string // "" for the limit over all holders
	Max    int
}

func (e *Error) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("all %d are in use", e.Max)
	}
	return fmt.Sprintf("%s has all %d that it may have", e.Holder, e.Max)
}

// NewSlots makes total slots, all of them free.
func NewSlots(total int) *Slots { return &Slots{total: total, held: map[string]int{}} }

// Acquire takes one slot that counts towards each of the shares, or none and returns an [*Error]. Calling release again does
// nothing.
func (s *Slots) Acquire(shares ...Share) (release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, share := range shares {
		if s.held[share.Holder] >= share.Max {
			return nil, &Error{Holder: share.Holder, Max: share.Max}
		}
	}
	if s.used >= s.total {
		return nil, &Error{Max: s.total}
	}
	s.used++
	for _, share := range shares {
		s.held[share.Holder]++
	}
	return sync.OnceFunc(func() { s.release(shares) }), nil
}

func (s *Slots) release(shares []Share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used--
	for _, share := range shares {
		s.held[share.Holder]--
		if s.held[share.Holder] == 0 {
			delete(s.held, share.Holder)
		}
	}
}
