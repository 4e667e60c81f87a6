package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/proxy"
)

// Where everybody listens. Each workload has its port, at the members as at the load balancers.
const (
	memberA   = "127.0.40.1"
	memberB   = "127.0.40.2"
	haproxyIP = "127.0.41.1"
	poiseIP   = "127.0.41.2"
	firstPort = 21801
)

const (
	portAnswer = firstPort + iota // answers 1 KiB to each 100 bytes
	portSource                    // sends zeros for ever
)

var ports = []int{portAnswer, portSource}

// process is one of the processes of a run.
type process struct {
	cmd     *exec.Cmd
	address string
	files   string // a directory to remove at the end

	startKB, startDescriptors float64 // of the process at rest, before its first connection
}

func start(address string, cmd *exec.Cmd) (*process, error) {
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, address: address}
	for range 500 {
		conn, err := net.Dial("tcp", p.at(portSource))
		if err == nil {
			return p, errors.Join(conn.Close(), p.rememberStart())
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s does not listen", cmd)
}

func (p *process) rememberStart() (err error) {
	time.Sleep(settleTime)
	if p.startKB, err = p.residentKB(); err != nil {
		return err
	}
	p.startDescriptors, err = p.descriptors()
	return err
}

func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
	if p.files != "" {
		_ = os.RemoveAll(p.files)
	}
}

func (p *process) at(port int) string { return net.JoinHostPort(p.address, strconv.Itoa(port)) }

// cpu is the CPU time that the process has used so far, of all its threads.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	const tick = time.Second / 100 // USER_HZ
	return time.Duration(user+system) * tick, nil
}

// residentKB is the memory of the process, in KiB.
func (p *process) residentKB() (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}

func (p *process) descriptors() (float64, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid))
	return float64(len(entries)), err
}

func startMember() (*process, error) { return startSelf(memberB, "member") }

func startPoise() (*process, error) { return startSelf(poiseIP, "poise", poiseIP) }

func startSelf(address string, args ...string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(address, exec.Command(self, args...))
}

func startHAProxy() (*process, error) {
	dir, err := os.MkdirTemp("", "bench-tcp")
	if err != nil {
		return nil, err
	}
	var config strings.Builder
	config.WriteString("global\n nbthread 2\n maxconn 9000\ndefaults\n mode tcp\n retries 3\n option redispatch\n" +
		" timeout client 50s\n timeout server 50s\n timeout connect 5s\n")
	for _, port := range ports {
		fmt.Fprintf(&config, "listen l%d\n bind %s:%d\n balance roundrobin\n server a %s:%d\n server b %s:%d\n",
			port, haproxyIP, port, memberA, port, memberB, port)
	}
	path := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(path, []byte(config.String()), 0o600); err != nil {
		return nil, err
	}
	p, err := start(haproxyIP, exec.Command("haproxy", "-db", "-f", path))
	if err != nil {
		return nil, fmt.Errorf("haproxy: %w", err)
	}
	p.files = dir
	return p, nil
}

// hostNet is the network of this process.
type hostNet struct{}

func (hostNet) Socket(family, kind int) (int, error) {
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

// runPoise is the process under test.
func runPoise(args []string) error {
	engine, err := proxy.StartEngine(slog.Default())
	if err != nil {
		return err
	}
	defer engine.Close()
	server := proxy.New(hostNet{}, slog.Default(), engine)
	defer server.Close()
	config := &dataplane.Config{}
	for _, port := range ports {
		id := strconv.Itoa(port)
		config.Listeners = append(config.Listeners, dataplane.Listener{
			ID: id, Protocol: dataplane.TCP, Port: uint16(port), PoolID: id,
			ClientTimeout: 50 * time.Second, MemberTimeout: 50 * time.Second, ConnectTimeout: 5 * time.Second,
		})
		config.Pools = append(config.Pools, dataplane.Pool{ID: id, Algorithm: dataplane.RoundRobin, Members: []dataplane.Member{
			{ID: "a", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(memberA), uint16(port))},
			{ID: "b", Weight: 1, Address: netip.AddrPortFrom(netip.MustParseAddr(memberB), uint16(port))},
		}})
	}
	for id, state := range server.Apply(config, []netip.Addr{netip.MustParseAddr(args[0])}) {
		if !state.Listening {
			return fmt.Errorf("listener %s: %s", id, state.Reason)
		}
	}
	return untilStopped()
}

func untilStopped() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return nil
}
