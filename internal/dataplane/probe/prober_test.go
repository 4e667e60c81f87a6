package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var at = netip.MustParseAddrPort("10.0.0.5:80")

func config(m *dataplane.Monitor, members ...dataplane.Member) *dataplane.Config {
	return &dataplane.Config{Pools: []dataplane.Pool{{ID: "pool", Monitor: m, Members: members}}}
}

func monitor(rise, fall int) *dataplane.Monitor {
	return &dataplane.Monitor{Type: dataplane.MonitorTCP, Delay: 5 * time.Second, Timeout: 3 * time.Second, Rise: rise, Fall: fall}
}

var one = dataplane.Member{ID: "one", Address: at, Probe: at}

func TestRecord(t *testing.T) {
	for _, test := range []struct {
		name       string
		rise, fall int
		results    string // '+' success, '-' failure
		states     string // after each: 'u'p, 'd'own
	}{
		{"the first failure of a new member is enough", 2, 3, "-", "d"},
		{"a success makes it robust", 2, 3, "+---", "uuud"},
		{"a success starts the count of failures again", 2, 3, "+--+---", "uuuuuud"},
		{"rise successes bring it up", 3, 1, "-+++", "dddu"},
		{"a failure starts the count of successes again", 2, 1, "-+-++", "ddddu"},
		{"recovered members are not fragile", 1, 2, "-+--", "duud"},
		{"rise and fall of 1", 1, 1, "-+-+", "dudu"},
		{"0 counts as 1", 0, 0, "+-+", "udu"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRecord(true, time.Now())
			var got strings.Builder
			for _, result := range test.results {
				var err error
				if result == '-' {
					err = unix.ECONNREFUSED
				}
				r.note(newTarget(config(monitor(test.rise, test.fall)).Pools[0], one), err, time.Now())
				got.WriteByte(string(r.state)[0])
			}
			if diff := cmp.Diff(test.states, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{unix.ECONNREFUSED, "connection refused by 10.0.0.5:80"},
		{os.ErrDeadlineExceeded, "no answer from 10.0.0.5:80 within 5s"},
		{context.DeadlineExceeded, "no answer from 10.0.0.5:80 within 5s"},
		{unix.EHOSTUNREACH, "no route to 10.0.0.5:80"},
		{os.NewSyscallError("connect", unix.EACCES), "cannot reach 10.0.0.5:80: permission denied"},
		{fmt.Errorf("wrapped: %w", failure("status 500 instead of 200")), "status 500 instead of 200"},
	} {
		if got := explain(test.err, at, 5*time.Second); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}

// stage is a prober with a scripted check and a log of what it reports.
type stage struct {
	*Prober
	mu      sync.Mutex
	result  error
	checks  int
	busy    int
	mostAt  int // most checks at once
	block   bool
	reports []string
}

func newStage() *stage {
	s := &stage{}
	s.Prober = newProber(nil, s.report, map[dataplane.MonitorType]check{dataplane.MonitorTCP: s.check})
	return s
}

func (s *stage) check(ctx context.Context, _ dataplane.Net, _ netip.AddrPort) error {
	s.mu.Lock()
	s.checks++
	s.busy++
	s.mostAt = max(s.mostAt, s.busy)
	block, result := s.block, s.result
	s.mu.Unlock()
	if block {
		<-ctx.Done()
		result = ctx.Err()
	}
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
	return result
}

func (s *stage) report(h dataplane.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, strings.TrimSpace(h.MemberID+" "+string(h.State)+" "+h.Reason))
}

// next lets d pass and returns what was reported.
func (s *stage) next(d time.Duration) []string {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	reports := s.reports
	s.reports = nil
	return reports
}

func (s *stage) answer(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result = err
}

func expect(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: %s", what, diff)
	}
}

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.Apply(config(monitor(2, 3), one))
		expect(t, "at the start", s.next(time.Millisecond), "one up")
		s.answer(unix.ECONNREFUSED)
		expect(t, "first failure after a success", s.next(5*time.Second), "one up connection refused by 10.0.0.5:80")
		expect(t, "third failure", s.next(10*time.Second), "one down connection refused by 10.0.0.5:80")
		s.answer(unix.EHOSTUNREACH)
		expect(t, "another reason", s.next(5*time.Second), "one down no route to 10.0.0.5:80")
		s.answer(nil)
		expect(t, "first success", s.next(5*time.Second))
		expect(t, "second success", s.next(5*time.Second), "one up no route to 10.0.0.5:80")
		s.answer(unix.EMFILE)
		expect(t, "no descriptor for the check", s.next(time.Minute))
	})
}

func TestFragileMemberGoesDownAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.answer(unix.ECONNREFUSED)
		s.Apply(config(monitor(2, 3), one))
		got := s.next(time.Millisecond)
		expect(t, "the first check", got[len(got)-1:], "one down connection refused by 10.0.0.5:80")
	})
}

func TestTimeoutEndsACheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.block = true
		s.Apply(config(monitor(1, 1), one))
		expect(t, "before the timeout", s.next(2999*time.Millisecond), "one up")
		expect(t, "at the timeout", s.next(time.Millisecond), "one down no answer from 10.0.0.5:80 within 3s")
	})
}

func TestApply(t *testing.T) {
	elsewhere, disabled, heavy := one, one, one
	elsewhere.Probe = netip.MustParseAddrPort("10.0.0.5:81")
	disabled.Disabled = true
	heavy.Weight = 7
	faster := monitor(1, 1)
	faster.Delay = time.Second
	for _, test := range []struct {
		name    string
		next    *dataplane.Config
		reports []string
		checks  int // made at once
	}{
		{"the same", config(monitor(1, 1), one), nil, 0},
		{"a weight", config(monitor(1, 1), heavy), nil, 0},
		{"another delay keeps the state", config(faster, one), nil, 1},
		{"another address starts afresh", config(monitor(1, 1), elsewhere), []string{"one down connection refused by 10.0.0.5:81"}, 1},
		{"disabled", config(monitor(1, 1), disabled), []string{"one unchecked"}, 0},
		{"without a monitor", config(nil, one), []string{"one unchecked"}, 0},
		{"removed", config(monitor(1, 1)), nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage()
				defer s.Close()
				s.answer(unix.ECONNREFUSED)
				s.Apply(config(monitor(1, 1), one))
				s.next(time.Millisecond)
				before := s.checks
				s.Apply(test.next)
				got := s.next(time.Millisecond)
				if len(got) > 1 { // the fresh state may be seen before its first check
					got = got[1:]
				}
				expect(t, "reports", got, test.reports...)
				if made := s.checks - before; made != test.checks {
					t.Errorf("%d checks, want %d", made, test.checks)
				}
				if n, want := len(s.Snapshot()), len(test.next.Pools[0].Members); n != want {
					t.Errorf("snapshot of %d members, want %d", n, want)
				}
			})
		})
	}
}

func TestZeroDelayIsOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.Apply(config(&dataplane.Monitor{Type: dataplane.MonitorTCP}, one))
		s.next(10 * time.Second)
		if s.checks < 10 || s.checks > 11 {
			t.Errorf("%d checks in 10 s", s.checks)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.block = true
		var members []dataplane.Member
		for i := range 2 * maxConcurrentChecks {
			members = append(members, dataplane.Member{ID: fmt.Sprint(i), Probe: at})
		}
		s.Apply(config(monitor(1, 1), members...))
		s.next(time.Minute)
		if s.mostAt != maxConcurrentChecks {
			t.Errorf("%d checks at once", s.mostAt)
		}
	})
}

// hostNet is the network of the test process itself.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

func TestCheckTCP(t *testing.T) {
	for _, address := range []string{"127.0.30.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			target := netip.MustParseAddrPort(l.Addr().String())
			if err := checkTCP(t.Context(), hostNet{}, target); err != nil {
				t.Errorf("open port: %v", err)
			}
			_ = l.Close()
			if err := checkTCP(t.Context(), hostNet{}, target); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("closed port: %v", err)
			}
		})
	}
}

func TestCheckTCPOfASilentMember(t *testing.T) {
	target := silent(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := checkTCP(ctx, hostNet{}, target)
	if got, want := explain(err, target, 50*time.Millisecond), fmt.Sprintf("no answer from %s within 50ms", target); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// silent listens with a backlog that is full: the kernel drops further SYNs.
func silent(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 30, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.AddrPortFrom(netip.MustParseAddr("127.0.30.1"), uint16(name.(*unix.SockaddrInet4).Port))
	first, err := net.Dial("tcp", target.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Close() })
	return target
}
