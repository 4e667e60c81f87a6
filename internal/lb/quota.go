package lb

import "fmt"

// Quota is how many objects of each kind a project may have at a time; a kind that is missing has the server's default.
type Quota map[Kind]int

// NoLimit as a limit allows any number.
const NoLimit = -1

// MaxQuota is the highest limit that can be set (octavia-resources.md §8).
const MaxQuota = 2_000_000_000

// QuotaKinds are the kinds that have a limit, in the order in which answers show them.
var QuotaKinds = []Kind{
	KindLoadBalancer, KindListener, KindMember, KindPool, KindHealthMonitor, KindL7Policy, KindL7Rule,
}

// Over fills the missing limits in from defaults; what those miss as well is not limited.
func (q Quota) Over(defaults Quota) Quota {
	whole := Quota{}
	for _, kind := range QuotaKinds {
		whole[kind] = NoLimit
		for _, from := range []Quota{defaults, q} {
			if limit, ok := from[kind]; ok {
				whole[kind] = limit
			}
		}
	}
	return whole
}

// Limits tells whether the quota has a limit for one of the kinds that grow.
func (q Quota) Limits(growth map[Kind]int) bool {
	for kind := range growth {
		if limit, ok := q[kind]; ok && limit != NoLimit {
			return true
		}
	}
	return false
}

// Check refuses a growth over what is used already. A project that has too many, because its limit was lowered, keeps
// them.
func (q Quota) Check(used, growth map[Kind]int) error {
	for _, kind := range QuotaKinds {
		limit, limited := q[kind]
		if limited && limit != NoLimit && growth[kind] > 0 && used[kind]+growth[kind] > limit {
			return &Error{Code: QuotaExceeded, Message: fmt.Sprintf("Quota has been met for resources: %s", kind)}
		}
	}
	return nil
}

// Growth is by how many objects of each kind a tree has become larger; kinds that have not grown are left out. What is being
// deleted is not counted: a batch update that replaces members by as many others is no growth. before is nil for a
// new tree.
func Growth(before, after *LoadBalancer) map[Kind]int {
	growth := map[Kind]int{}
	count := func(t *LoadBalancer, by int) {
		if t == nil {
			return
		}
		t.Walk(func(kind Kind, _ string, o *Object, _ any) {
			if !o.Deleted {
				growth[kind] += by
			}
		})
	}
	count(before, -1)
	count(after, 1)
	for kind, n := range growth {
		if n <= 0 {
			delete(growth, kind)
		}
	}
	return growth
}
