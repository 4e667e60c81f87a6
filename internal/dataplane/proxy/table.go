package proxy

import "iter"

// table gives things a place that fits into an event, and knows a stale event by the place's generation.
type table[T any] struct {
	entries []entry[T]
	free    []uint32
}

type entry[T any] struct {
	thing      *T // nil: the place is free
	generation int32
}

func (t *table[T]) put(thing *T) (place uint32, generation int32) {
	if n := len(t.free); n > 0 {
		place = t.free[n-1]
		t.free = t.free[:n-1]
	} else {
		place = uint32(len(t.entries))
		t.entries = append(t.entries, entry[T]{})
	}
	e := &t.entries[place]
	e.thing = thing
	return place, e.generation
}

func (t *table[T]) remove(place uint32) {
	e := &t.entries[place]
	e.thing = nil
	e.generation++
	t.free = append(t.free, place)
}

// at is the thing of that place and generation, nil when it is gone.
func (t *table[T]) at(place uint32, generation int32) *T {
	if place >= uint32(len(t.entries)) || t.entries[place].generation != generation {
		return nil
	}
	return t.entries[place].thing
}

// from goes once around the table, beginning at hand, and leaves hand where it ended. It allows that things are removed on the way.
func (t *table[T]) from(hand *int) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for range len(t.entries) {
			*hand++
			if *hand >= len(t.entries) {
				*hand = 0
			}
			if thing := t.entries[*hand].thing; thing != nil && !yield(thing) {
				return
			}
		}
	}
}

// all allows that things are removed on the way.
func (t *table[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range t.entries {
			if thing := t.entries[i].thing; thing != nil && !yield(thing) {
				return
			}
		}
	}
}
