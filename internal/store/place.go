package store

import (
	"encoding/json"
	"fmt"

	"poise/internal/lb"
)

// place puts the objects of rows where they belong in a tree. Parents and children may come in any order.
func place(t *lb.LoadBalancer, rows []objectRow) error {
	objects := make(map[string]any, len(rows))
	for _, row := range rows {
		o := newObject(row.Kind)
		if o == nil {
			return fmt.Errorf("%s is of the unknown kind %s", row.ID, row.Kind)
		}
		if err := json.Unmarshal([]byte(row.Body), o); err != nil {
			return fmt.Errorf("%s %s: %w", row.Kind, row.ID, err)
		}
		objects[row.ID] = o
	}
	for _, row := range rows {
		if !attach(t, objects[row.ParentID], objects[row.ID]) {
			return fmt.Errorf("%s %s has no place below %s", row.Kind, row.ID, row.ParentID)
		}
	}
	for _, l := range t.Listeners {
		l.SortPolicies()
	}
	return nil
}

func newObject(kind lb.Kind) any {
	switch kind {
	case lb.KindListener:
		return &lb.Listener{}
	case lb.KindPool:
		return &lb.Pool{}
	case lb.KindMember:
		return &lb.Member{}
	case lb.KindHealthMonitor:
		return &lb.HealthMonitor{}
	case lb.KindL7Policy:
		return &lb.L7Policy{}
	case lb.KindL7Rule:
		return &lb.L7Rule{}
	default:
		return nil
	}
}

// attach adds an object to its parent, which is nil for those directly below the load balancer. It tells whether there is
// a place for the one in the other.
func attach(t *lb.LoadBalancer, parent, object any) bool {
	switch o := object.(type) {
	case *lb.Listener:
		t.Listeners = append(t.Listeners, o)
		return true
	case *lb.Pool:
		t.Pools = append(t.Pools, o)
		return true
	}
	switch above := parent.(type) {
	case *lb.Listener:
		return add(&above.Policies, object)
	case *lb.L7Policy:
		return add(&above.Rules, object)
	case *lb.Pool:
		if monitor, ok := object.(*lb.HealthMonitor); ok {
			above.Monitor = monitor
			return true
		}
		return add(&above.Members, object)
	}
	return false
}

// add appends an object to a list of its type.
func add[T any](to *[]*T, object any) bool {
	o, ok := object.(*T)
	if ok {
		*to = append(*to, o)
	}
	return ok
}
