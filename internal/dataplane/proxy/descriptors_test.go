package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	eventloop "poise/internal/dataplane/loop"
)

// TestOutOfDescriptors drives a process of its own, with few descriptors, beyond what it has: once against the
// engine's budget, once against the kernel, where others have taken what the budget counts on.
func TestOutOfDescriptors(t *testing.T) {
	const limit, reserve = 2000, 1000
	for _, test := range []struct {
		name   string
		others int // descriptors that others in the process have
		served int // connections at least that have a place
	}{
		{"budget", 0, (limit-reserve)*15/16/connDescriptors - 1},
		{"kernel, an even number left", limit - 420, 180},
		{"kernel, an odd number left", limit - 421, 180},
	} {
		t.Run(test.name, func(t *testing.T) {
			const more, leaving = 150, 100
			p := startScarce(t, echo(t, "a"), limit, test.others)
			c := newCrowd(t, p.addr, test.served+more)
			eventually(t, "all places are taken", func() bool { return c.answered() >= test.served && p.full() })

			before := p.cpu()
			<-time.After(time.Second)
			if used := p.cpu() - before; used > 200*time.Millisecond {
				t.Errorf("waiting for a second takes %v of CPU time", used)
			}
			c.leave(leaving)
			eventually(t, "the places of those who left are taken", func() bool { return c.answered() >= test.served+leaving })
			c.goOn()
			if lines := p.logged("out of file descriptors"); lines != 1 {
				t.Errorf("%d log lines", lines)
			}
		})
	}
}

// scarce is a process with few descriptors that serves one listener.
type scarce struct {
	t    *testing.T
	cmd  *exec.Cmd
	addr string
	log  *syncBuffer
}

const (
	scarceMember = "POISE_TEST_SCARCE_MEMBER" // marks the process, and names its member
	scarceLimit  = "POISE_TEST_SCARCE_LIMIT"
	scarceOthers = "POISE_TEST_SCARCE_OTHERS"
)

func startScarce(t *testing.T, member dataplane.Member, limit, others int) *scarce {
	t.Helper()
	p := &scarce{t: t, cmd: exec.Command("/proc/self/exe"), log: &syncBuffer{}}
	p.cmd.Env = append(os.Environ(), scarceMember+"="+member.Address.String(),
		scarceLimit+"="+strconv.Itoa(limit), scarceOthers+"="+strconv.Itoa(others))
	p.cmd.Stderr = p.log
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the process: %v: %s", err, p.log.String())
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the process does not serve: %v: %s", err, p.log.String())
	}
	p.addr = strings.TrimSpace(line)
	return p
}

// runScarce is that process: it prints its address and serves until its input ends.
func runScarce() error {
	limit, limitErr := strconv.Atoi(os.Getenv(scarceLimit))
	others, othersErr := strconv.Atoi(os.Getenv(scarceOthers))
	member, memberErr := netip.ParseAddrPort(os.Getenv(scarceMember))
	limitErr = errors.Join(limitErr, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(limit), Max: uint64(limit)}))
	if err := errors.Join(limitErr, othersErr, memberErr); err != nil {
		return err
	}
	for range others {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	descriptors, err := eventloop.OfProcess(log)
	if err != nil {
		return err
	}
	engine, err := StartEngine(descriptors)
	if err != nil {
		return err
	}
	defer engine.Close()
	server := New(hostNet{}, log, engine, descriptors.NewAccount())
	defer server.Close()
	server.Apply(&dataplane.Config{
		Listeners: []dataplane.Listener{{
			ID: "listener", PoolID: "pool", ClientTimeout: time.Minute, MemberTimeout: time.Minute, ConnectTimeout: patience,
		}},
		Pools: []dataplane.Pool{{ID: "pool", Members: []dataplane.Member{{ID: "a", Address: member, Weight: 1}}}},
	}, []netip.Addr{vip})
	fmt.Println(server.boundTo())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// boundTo is the address that the kernel has chosen for port 0.
func (s *Server) boundTo() netip.AddrPort {
	for _, socket := range s.listeners["listener"].sockets {
		if name, err := unix.Getsockname(socket.fd); err == nil {
			return addrPort(uint16(name.(*unix.SockaddrInet4).Port))
		}
	}
	return netip.AddrPort{}
}

// full says whether the process has said that it has no descriptor left.
func (p *scarce) full() bool { return p.logged("out of file descriptors") > 0 }

func (p *scarce) logged(words string) int { return strings.Count(p.log.String(), words) }

// cpu is the CPU time that the process has used.
func (p *scarce) cpu() time.Duration {
	p.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
