package proxy

import (
	"crypto/tls"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sayingOnly starts a handshake with a client that says nothing, or no more than the beginning of a hello.
func sayingOnly(t *testing.T, hs *handshakes, timeout time.Duration, says string) (*handshake, <-chan handshakeResult) {
	t.Helper()
	server, _ := serverAndClient(t)
	fd, far := tlsPair(t)
	t.Cleanup(func() { closeSocket(fd, true) })
	results := make(chan handshakeResult, 1)
	h := hs.start(nil, fd, server, false, timeout, func(r handshakeResult) { results <- r })
	if says != "" {
		if _, err := far.Write([]byte(says)); err != nil {
			t.Fatal(err)
		}
		h.ready(unix.EPOLLIN)
	}
	return h, results
}

func mustFail(t *testing.T, results <-chan handshakeResult, want error) {
	t.Helper()
	select {
	case r := <-results:
		if !errors.Is(r.err, want) || r.stream != nil {
			t.Errorf("%v, want %v", r.err, want)
		}
	case <-time.After(patience):
		t.Error("the handshake goes on")
	}
}

const hello = "\x16\x03\x01\x02\x00\x01" // the beginning of one

func TestHandshakesEnd(t *testing.T) {
	for name, says := range map[string]string{"silent": "", "half a hello": hello} {
		t.Run(name, func(t *testing.T) {
			hs := newHandshakes(1)
			_, late := sayingOnly(t, hs, 10*time.Millisecond, says)
			mustFail(t, late, os.ErrDeadlineExceeded)
			h, canceled := sayingOnly(t, hs, patience, says)
			h.cancel()
			h.cancel()
			mustFail(t, canceled, errHandshakeCanceled)
			_, stopped := sayingOnly(t, hs, patience, says)
			hs.stop()
			mustFail(t, stopped, errHandshakeCanceled)
			_, never := sayingOnly(t, hs, patience, says)
			mustFail(t, never, errHandshakeCanceled)
			hs.stop()
		})
	}
}

// Clients that say nothing cost no goroutine, and keep nobody waiting.
func TestHandshakesOfSilentClients(t *testing.T) {
	hs := newHandshakes(1)
	hs.most = 1
	defer hs.stop()
	before := runtime.NumGoroutine()
	for range 20 {
		h, _ := sayingOnly(t, hs, patience, "")
		h.ready(unix.EPOLLOUT)
	}
	if now := runtime.NumGoroutine(); now > before {
		t.Errorf("%d goroutines more", now-before)
	}
	mustShake(t, hs)
}

func mustShake(t *testing.T, hs *handshakes) {
	t.Helper()
	mustShakeFor(t, hs, nil)
}

func mustShakeFor(t *testing.T, hs *handshakes, holder any) {
	t.Helper()
	server, client := serverAndClient(t)
	fd, far := tlsPair(t)
	l := newTLSLoop(t, fd)
	l.holder = holder
	defer l.close()
	shaken := make(chan error, 1)
	go func() { shaken <- tls.Client(far, client).Handshake() }()
	if err := errors.Join(l.shake(hs, server, false).err, <-shaken); err != nil {
		t.Error(err)
	}
}

// Those who wait have their turn; at the latest when the patience with the ones before is at its end.
func TestHandshakesInACrowd(t *testing.T) {
	hs := newHandshakes(1)
	hs.most, hs.mostWaiting = 2, 3
	var under, waiting []<-chan handshakeResult
	var first *handshake
	for range 2 {
		h, results := sayingOnly(t, hs, patience, hello)
		under, first = append(under, results), h
	}
	for range 3 {
		_, results := sayingOnly(t, hs, patience, hello)
		waiting = append(waiting, results)
	}
	_, refused := sayingOnly(t, hs, patience, hello)
	mustFail(t, refused, errHandshakeCrowd)
	first.cancel()
	mustFail(t, under[1], errHandshakeCanceled)
	hs.mu.Lock()
	if hs.underWay.Len() != 2 || hs.waiting != 2 {
		t.Errorf("%d under way, %d waiting", hs.underWay.Len(), hs.waiting)
	}
	hs.underWay.Front().Value.(*handshake).began = time.Now().Add(-2 * crowdPatience)
	hs.mu.Unlock()
	_, last := sayingOnly(t, hs, patience, hello)
	mustFail(t, under[0], errHandshakeCrowd)
	hs.stop()
	for _, results := range append(waiting, last) {
		mustFail(t, results, errHandshakeCanceled)
	}
}

// A load balancer whose clients hold every place, and wait for more, makes no other wait: the other has its share at once.
func TestHandshakesOfOthersHavePlaces(t *testing.T) {
	hs := newHandshakes(1)
	hs.most, hs.mostWaiting, hs.patience = 2, 3, time.Hour
	defer hs.stop()
	var all []<-chan handshakeResult
	for range 5 {
		_, results := sayingOnly(t, hs, patience, hello)
		all = append(all, results)
	}
	mustShakeFor(t, hs, "another load balancer")
	mustFail(t, all[0], errHandshakeCrowd) // the oldest of those that had a place
	mustFail(t, all[4], errHandshakeCrowd) // the last of those that waited for one
}

// Load balancers take turns to calculate.
func TestHandshakesCalculateInTurns(t *testing.T) {
	p := processors{free: 1}
	flood, other := &share{}, &share{}
	order := make(chan *share)
	wait := func(s *share) {
		p.mu.Lock()
		before := len(s.turns)
		p.mu.Unlock()
		go func() {
			p.take(s)
			order <- s
			p.give()
		}()
		for {
			p.mu.Lock()
			now := len(s.turns)
			p.mu.Unlock()
			if now > before {
				return
			}
			runtime.Gosched()
		}
	}
	p.take(flood)
	for range 5 {
		wait(flood)
	}
	wait(other)
	p.give()
	for n, want := range []*share{flood, other, flood, flood, flood, flood} {
		if got := <-order; got != want {
			t.Errorf("turn %d is somebody else's", n)
		}
	}
	p.take(other) // it is free again
	p.give()
}
