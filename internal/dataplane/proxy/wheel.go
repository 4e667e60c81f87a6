package proxy

import "math/bits"

// The wheel's measures: deadlines are met within one tick, and looked at again every horizon of 51 s at least.
const (
	tickMs     = 50
	wheelSlots = 1024 // a multiple of 64
)

// wheel holds timers by deadline. It is cheap where a deadline is moved with every byte: such a move is not
// told to the wheel; when the old deadline comes, the timer's owner says whether it has a new one.
type wheel struct {
	slots    [wheelSlots]*timer
	occupied [wheelSlots / 64]uint64
	tick     int64 // the last tick that was fired
}

// timer is a place in the wheel, part of what has a deadline.
type timer struct {
	owner      timed
	next, prev *timer
	slot       int16
	set        bool
	dueMs      int64 // beyond the horizon it is set again on the way
}

// timed has a timer, which is out of the wheel when its time has come.
type timed interface{ onTimer() }

// set places t, which may be in the wheel already, at its deadline.
func (w *wheel) set(t *timer, dueMs int64) {
	w.remove(t)
	tick := max((dueMs+tickMs-1)/tickMs, w.tick+1)
	tick = min(tick, w.tick+wheelSlots-1)
	slot := int16(tick % wheelSlots)
	head := w.slots[slot]
	t.next, t.slot, t.set, t.dueMs = head, slot, true, dueMs
	if head != nil {
		head.prev = t
	}
	w.slots[slot] = t
	w.occupied[slot/64] |= 1 << (slot % 64)
}

// setBy makes sure that t fires at its deadline or before.
func (w *wheel) setBy(t *timer, dueMs int64) {
	if !t.set || dueMs < t.dueMs {
		w.set(t, dueMs)
	}
}

func (w *wheel) remove(t *timer) {
	if !t.set {
		return
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
		if t.next == nil {
			w.occupied[t.slot/64] &^= 1 << (t.slot % 64)
		}
	}
	*t = timer{owner: t.owner}
}

// advance takes timers out whose time has come by now, and tells their owners. What is beyond timersPerRound is left to the next call,
// for which waitMs then leaves no time.
func (w *wheel) advance(nowMs int64) {
	last := nowMs / tickMs
	w.tick = max(w.tick, last-wheelSlots) // after a long sleep one turn meets every slot
	for told := 0; w.tick < last; {
		w.tick++
		for slot := w.tick % wheelSlots; w.slots[slot] != nil; {
			t := w.slots[slot]
			if t.dueMs > nowMs { // beyond the horizon
				w.set(t, t.dueMs)
				continue
			}
			if told == timersPerRound {
				w.tick--
				return
			}
			told++
			w.remove(t)
			t.owner.onTimer()
		}
	}
}

// waitMs is the time until the next occupied slot fires; -1 when the wheel is empty.
func (w *wheel) waitMs(nowMs int64) int64 {
	start := (w.tick + 1) % wheelSlots
	for i := range int64(len(w.occupied) + 1) {
		word := (start/64 + i) % int64(len(w.occupied))
		mask := w.occupied[word]
		if i == 0 {
			mask &= ^uint64(0) << (start % 64)
		}
		if mask == 0 {
			continue
		}
		slot := word*64 + int64(bits.TrailingZeros64(mask))
		distance := (slot - start + wheelSlots) % wheelSlots
		return max((w.tick+1+distance)*tickMs-nowMs, 0)
	}
	return -1
}
