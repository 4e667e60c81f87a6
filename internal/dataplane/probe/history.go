package probe

import (
	"slices"

	"poise/internal/dataplane"
)

// maxHistory is how many different findings of a member are kept.
const maxHistory = 200

// history is a ring of findings. Checks that find the same again and again take one place, so that a member that stays
// as it is costs next to nothing.
type history struct {
	ring   []dataplane.Probe
	oldest int // once the ring is full
}

func (h *history) add(p dataplane.Probe) {
	if last := h.last(); last != nil && !p.Changed && last.OK == p.OK && last.Reason == p.Reason {
		last.Count++
		last.Duration = p.Duration
		return
	}
	if len(h.ring) < maxHistory {
		h.ring = append(h.ring, p)
		return
	}
	h.ring[h.oldest] = p
	h.oldest = (h.oldest + 1) % maxHistory
}

func (h *history) last() *dataplane.Probe {
	if len(h.ring) == 0 {
		return nil
	}
	return &h.ring[(h.oldest+len(h.ring)-1)%len(h.ring)]
}

// all are the findings, the oldest first.
func (h *history) all() []dataplane.Probe {
	return slices.Concat(h.ring[h.oldest:], h.ring[:h.oldest])
}
