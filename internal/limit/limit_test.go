package limit

import (
	"errors"
	"testing"
)

func TestSlots(t *testing.T) {
	slots := NewSlots(3)
	take := func(max int, holders ...string) (func(), error) {
		var shares []Share
		for _, h := range holders {
			shares = append(shares, Share{h, max})
		}
		return slots.Acquire(shares...)
	}
	wantRefusal := func(err error, holder string) {
		t.Helper()
		var refused *Error
		if !errors.As(err, &refused) || refused.Holder != holder {
			t.Errorf("got %v, want a refusal for %q", err, holder)
		}
	}

	first, err := take(2, "project a", "user 1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := take(2, "project a", "user 2")
	if err != nil {
		t.Fatal(err)
	}
	_, err = take(2, "project a", "user 3")
	wantRefusal(err, "project a")
	if len(slots.held) != 3 {
		t.Errorf("a refusal has left %v", slots.held)
	}
	third, err := take(2, "project b")
	if err != nil {
		t.Fatal("somebody else:", err)
	}
	_, err = take(2, "project c")
	wantRefusal(err, "")

	first()
	first() // counts once
	_, err = take(1, "project a")
	wantRefusal(err, "project a")
	again, err := take(2, "project a")
	if err != nil {
		t.Error("a slot that was given back:", err)
	}
	for _, release := range []func(){second, third, again} {
		release()
	}
	if slots.used != 0 || len(slots.held) != 0 {
		t.Errorf("%d used, held by %v", slots.used, slots.held)
	}
}
