package datagram

import "iter"

// order keeps flows by their last sign of life, the longest silent first. A flow is in two of them.
type order struct {
	of          int // inLoop or inListener
	first, last *flow
}

const (
	inLoop = iota
	inListener
)

type link struct{ prev, next *flow }

func (o *order) add(f *flow) {
	f.links[o.of] = link{prev: o.last}
	if o.last != nil {
		o.last.links[o.of].next = f
	} else {
		o.first = f
	}
	o.last = f
}

func (o *order) remove(f *flow) {
	at := f.links[o.of]
	if at.prev != nil {
		at.prev.links[o.of].next = at.next
	} else {
		o.first = at.next
	}
	if at.next != nil {
		at.next.links[o.of].prev = at.prev
	} else {
		o.last = at.prev
	}
	f.links[o.of] = link{}
}

func (o *order) refresh(f *flow) {
	o.remove(f)
	o.add(f)
}

// all allows that the flow at hand is removed on the way.
func (o *order) all() iter.Seq[*flow] {
	return func(yield func(*flow) bool) {
		for f := o.first; f != nil; {
			next := f.links[o.of].next
			if !yield(f) {
				return
			}
			f = next
		}
	}
}
