package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
)

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
				r.note(monitor(test.rise, test.fall), result == '+', time.Now())
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
		{fmt.Errorf("wrapped: %w", failure("answered 500, expected 200")), "answered 500, expected 200"},
		{unable("not allowed"), "not allowed"},
	} {
		if got := explain(test.err, at.String(), 5*time.Second); got != test.want {
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

func newStage() *stage { return newStageIn(NewBudget(maxConcurrentChecks)) }

// newStageIn is one of several probers on a budget.
func newStageIn(budget *Budget) *stage {
	s := &stage{}
	s.Prober = newProber(nil, budget, s.report, map[dataplane.MonitorType]check{dataplane.MonitorTCP: s.check})
	return s
}

func (s *stage) check(ctx context.Context, _ dataplane.Net, _ *way, _ netip.AddrPort) error {
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

func TestUnmadeChecksLeaveTheState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.answer(errNoPings)
		s.Apply(config(monitor(1, 1), one))
		got := s.next(time.Minute)
		expect(t, "reports", got[len(got)-1:], "one up "+string(errNoPings))
	})
}

// One success brings the member of a UDP pool up (octavia-dataplane.md §5).
func TestDatagramServersComeUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.answer(unix.ECONNREFUSED)
		cfg := config(monitor(3, 1), one)
		cfg.Listeners = []dataplane.Listener{{ID: "listener", Protocol: dataplane.UDP, PoolID: "pool"}}
		s.Apply(cfg)
		s.next(time.Millisecond)
		s.answer(nil)
		expect(t, "first success", s.next(5*time.Second), "one up connection refused by 10.0.0.5:80")
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage()
		defer s.Close()
		s.Apply(config(monitor(1, 2), one))
		s.next(time.Minute)
		s.answer(unix.ECONNREFUSED)
		s.next(15 * time.Second)
		type found struct {
			Count       int
			OK, Changed bool
			Reason      string
		}
		var got []found
		for _, p := range s.History("pool", "one") {
			got = append(got, found{p.Count, p.OK, p.Changed, p.Reason})
		}
		refused := "connection refused by 10.0.0.5:80"
		want := []found{{got[0].Count, true, false, ""}, {1, false, false, refused}, {2, false, true, refused}}
		if diff := cmp.Diff(want, got); diff != "" || got[0].Count < 10 {
			t.Errorf("%+v", got)
		}
		if s.History("pool", "other") != nil {
			t.Error("a member that is not known has a history")
		}
	})
}

func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range 3 * maxHistory / 2 {
		h.add(dataplane.Probe{Count: 1, OK: i%2 == 0, Duration: time.Duration(i)})
	}
	all := h.all()
	if len(all) != maxHistory || all[0].Duration != maxHistory/2 || all[maxHistory-1].Duration != 3*maxHistory/2-1 {
		t.Errorf("%d findings from %d to %d", len(all), all[0].Duration, all[len(all)-1].Duration)
	}
}

// BenchmarkMembers says what each of 10,000 members costs that are checked by TCP: memory, and CPU time a second for a
// delay of 5 s (the machine's, the checks' server included).
func BenchmarkMembers(b *testing.B) {
	const n = 10_000
	l, err := net.Listen("tcp", "127.0.30.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	probe := netip.MustParseAddrPort(l.Addr().String())
	go func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			_ = conn.Close()
		}
	}()
	var members []dataplane.Member
	for i := range n {
		members = append(members, dataplane.Member{ID: fmt.Sprint(i), Probe: probe})
	}
	cfg := config(monitor(3, 3), members...)
	before, beforeCPU := inUse(), cpu()
	p := New(hostNet{}, NewBudget(maxConcurrentChecks), func(dataplane.Health) {})
	defer p.Close()
	p.Apply(cfg)
	began := time.Now()
	for range b.N {
		time.Sleep(20 * time.Second)
	}
	b.ReportMetric(float64(inUse()-before)/n, "B/member")
	b.ReportMetric((cpu()-beforeCPU).Seconds()/time.Since(began).Seconds(), "cpu-s/s")
}

// inUse is the memory of heap and stacks.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
