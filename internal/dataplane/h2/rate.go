package h2

// Rate counts what may happen only so often in a second.
type Rate struct {
	second int64
	count  int
}

// Exceeds counts one more at this time, in milliseconds, and says whether that was one too many.
func (r *Rate) Exceeds(nowMs int64, limit int) bool {
	if second := nowMs / 1000; second != r.second {
		r.second, r.count = second, 0
	}
	r.count++
	return r.count > limit
}
