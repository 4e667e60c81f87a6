package proxy

import (
	"golang.org/x/sys/unix"

	eventloop "poise/internal/dataplane/loop"
)

const (
	// pipeSize is asked of the kernel, and what a splice moves at most.
	pipeSize = 1 << 20
	// smallestPipe is worth its trouble. The kernel gives two pages to a user who has many pipes.
	smallestPipe = 64 << 10
	// maxIdlePipes of one loop wait for their next use; a loop in which nobody is slow uses one.
	maxIdlePipes = 8
	// maxPipes of one loop exist at once. Beyond, bytes are copied: the kernel shrinks the pipes of a user who has
	// many (64 MiB altogether, pipe-user-pages-soft), and each costs two descriptors.
	maxPipes = 32
)

// pipe carries bytes from socket to socket inside the kernel.
type pipe struct {
	r, w int
	n    int // bytes in it
}

// pipePool keeps the pipes of one loop.
type pipePool struct {
	descriptors *eventloop.Descriptors
	idle        []*pipe
	open        int
}

// get is nil when there may be no more pipes.
func (p *pipePool) get() *pipe {
	if n := len(p.idle); n > 0 {
		last := p.idle[n-1]
		p.idle = p.idle[:n-1]
		return last
	}
	if p.open >= maxPipes || !p.descriptors.Take(2) {
		return nil
	}
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		p.descriptors.Give(2)
		return nil
	}
	p.open++
	fresh := &pipe{r: fds[0], w: fds[1]}
	_, _ = unix.FcntlInt(uintptr(fresh.r), unix.F_SETPIPE_SZ, pipeSize) // EPERM: it stays as it is
	if size, err := unix.FcntlInt(uintptr(fresh.r), unix.F_GETPIPE_SZ, 0); err != nil || size < smallestPipe {
		p.discard(fresh)
		return nil
	}
	return fresh
}

// put takes a pipe back; one with bytes in it cannot be used again.
func (p *pipePool) put(used *pipe) {
	if used.n == 0 && len(p.idle) < maxIdlePipes {
		p.idle = append(p.idle, used)
		return
	}
	p.discard(used)
}

func (p *pipePool) discard(used *pipe) {
	_ = unix.Close(used.r)
	_ = unix.Close(used.w)
	p.open--
	p.descriptors.Give(2)
}

func (p *pipePool) close() {
	for _, idle := range p.idle {
		p.discard(idle)
	}
	p.idle = nil
}
