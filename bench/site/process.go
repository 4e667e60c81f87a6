package site

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// SettleTime is after what counters and memory are at rest.
const SettleTime = 300 * time.Millisecond

// Process is one of the processes of a run, with its children.
type Process struct {
	Name string
	IP   string
	Log  string // the file with what it has written

	StartKB, StartDescriptors float64 // at rest, before its first connection

	cmd *exec.Cmd
}

// Start starts a process in the namespace of an address.
func (s *Site) Start(ip string, cmd *exec.Cmd) (*Process, error) {
	return s.start(s.spaces[ip], ip, cmd)
}

// StartSelf starts this program with other arguments, in the namespace of an address.
func (s *Site) StartSelf(ip string, args ...string) (*Process, error) {
	return s.Start(ip, exec.Command("/proc/self/exe", args...))
}

// StartPoise starts this program with the role poise on the host; only its sockets are in the load balancer's namespace.
func StartPoise(s *Site, ip string) (*Process, error) {
	return s.start("", ip, exec.Command("/proc/self/exe", "poise", ip))
}

func (s *Site) start(space, ip string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, IP: ip, Log: filepath.Join(s.Dir, ip+".log")}
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	return p, InNamespace(space, cmd.Start)
}

// await waits until a process listens, and then rests.
func (s *Site) await(p *Process, port int) error {
	for range 500 {
		if s.listens(p, port) {
			return p.rememberStart()
		}
		time.Sleep(10 * time.Millisecond)
	}
	said, _ := os.ReadFile(p.Log)
	return fmt.Errorf("%s does not listen: %s", p.cmd, said)
}

func (s *Site) listens(p *Process, port int) bool {
	return InNamespace(s.spaces[clientIP], func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		return syscall.Connect(fd, &syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(p.IP).To4()), Port: port})
	}) == nil
}

func (p *Process) rememberStart() (err error) {
	time.Sleep(SettleTime)
	if p.StartKB, err = p.ResidentKB(); err != nil {
		return err
	}
	p.StartDescriptors, err = p.Descriptors()
	return err
}

func (p *Process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
}

// At is the process's address with a port.
func (p *Process) At(port int) string { return net.JoinHostPort(p.IP, strconv.Itoa(port)) }

// pids are the process and its children (nginx has workers).
func (p *Process) pids() []string {
	pid := strconv.Itoa(p.cmd.Process.Pid)
	all := []string{pid}
	children, _ := filepath.Glob(filepath.Join("/proc", pid, "task", "*", "children"))
	for _, file := range children {
		list, _ := os.ReadFile(file)
		all = append(all, strings.Fields(string(list))...)
	}
	return all
}

// CPU is the time that the process has used so far, of all its threads and children.
func (p *Process) CPU() (sum time.Duration, err error) {
	for _, pid := range p.pids() {
		cpu, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

// cpuOf reads the times of a process, ended children included.
func cpuOf(pid string) (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", pid, "stat"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const tick = time.Second / 100 // USER_HZ
	var sum time.Duration
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime: proc(5)
		ticks, err := strconv.Atoi(field)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ticks) * tick
	}
	return sum, nil
}

// PathCPU is the CPU time of all through whom the bytes go: the load balancer, the members, the clients (which are
// children of this process, idle otherwise) and the kernel's softirq threads.
func (s *Site) PathCPU(through *Process) (sum time.Duration, err error) {
	pids := append([]string{"self"}, through.pids()...)
	for _, m := range s.members {
		pids = append(pids, m.pids()...)
	}
	kernel, err := softirqThreads()
	if err != nil {
		return 0, err
	}
	for _, pid := range append(pids, kernel...) {
		cpu, err := cpuOf(pid)
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

// softirqThreads are the kernel's threads ksoftirqd/N.
func softirqThreads() (pids []string, err error) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	for _, name := range names {
		comm, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(comm), "ksoftirqd/") {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids, err
}

// ResidentKB is the memory of the process and its children, in KiB.
func (p *Process) ResidentKB() (sum float64, err error) {
	for _, pid := range p.pids() {
		status, err := os.ReadFile(filepath.Join("/proc", pid, "status"))
		if err != nil {
			return 0, err
		}
		_, rest, found := strings.Cut(string(status), "VmRSS:")
		if !found {
			return 0, errors.New("the process has ended")
		}
		kilobytes, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		if err != nil {
			return 0, err
		}
		sum += kilobytes
	}
	return sum, nil
}

// Descriptors is how many files the process and its children have open.
func (p *Process) Descriptors() (sum float64, err error) {
	for _, pid := range p.pids() {
		entries, err := os.ReadDir(filepath.Join("/proc", pid, "fd"))
		if err != nil {
			return 0, err
		}
		sum += float64(len(entries))
	}
	return sum, nil
}

// UntilStopped is what a process of a run does once it serves.
func UntilStopped() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return nil
}
