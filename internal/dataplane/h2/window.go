package h2

const (
	// DefaultWindow is every window's size before anybody has said otherwise (RFC 9113 §6.9.2).
	DefaultWindow = 1<<16 - 1
	maxWindow     = 1<<31 - 1
)

// Outflow is how many bytes of DATA may be sent. It is negative after a client has made its streams' windows smaller.
type Outflow int64

// Widen adds to the window; false: beyond the size that a window may have.
func (w *Outflow) Widen(n int64) bool {
	*w += Outflow(n)
	return *w <= maxWindow
}

// Inflow follows a window in which DATA is received.
type Inflow struct {
	left int // may still be sent to us
	owed int // was taken out of the window, is used up, and the sender does not know yet
	size int
}

// NewInflow is a window of this size.
func NewInflow(size int) Inflow { return Inflow{left: size, size: size} }

// Take is called when n bytes were received; false: the window has no room for them.
func (w *Inflow) Take(n int) bool {
	w.left -= n
	return w.left >= 0
}

// Give is called when n bytes were used up. It returns by how much the sender is to be told to widen the window: 0 until it is a
// quarter, so that few frames say so.
func (w *Inflow) Give(n int) uint32 {
	w.owed += n
	if w.owed < w.size/4 {
		return 0
	}
	n, w.owed = w.owed, 0
	w.left += n
	return uint32(n)
}
