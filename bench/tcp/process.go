package main

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

// process is one of the processes of a run.
type process struct {
	cmd     *exec.Cmd
	address string
	log     string // the file with what it has written

	startKB, startDescriptors float64 // of the process at rest, before its first connection
}

// start starts a process in a namespace and waits until it listens.
func (s *site) start(space, address string, cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, address: address, log: filepath.Join(s.dir, address+".log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := inNamespace(space, cmd.Start); err != nil {
		return nil, err
	}
	for range 500 {
		if s.listens(p) {
			return p, p.rememberStart()
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.stop()
	said, _ := os.ReadFile(p.log)
	return nil, fmt.Errorf("%s does not listen: %s", cmd, said)
}

func (s *site) listens(p *process) bool {
	return inNamespace(s.spaces[clientIP], func() error {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer syscall.Close(fd)
		return syscall.Connect(fd, &syscall.SockaddrInet4{Addr: [4]byte(net.ParseIP(p.address).To4()), Port: portSource})
	}) == nil
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
}

func (p *process) at(port int) string { return net.JoinHostPort(p.address, strconv.Itoa(port)) }

func (p *process) pid() string { return strconv.Itoa(p.cmd.Process.Pid) }

// cpu is the CPU time that the process has used so far, of all its threads.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.pid()) }

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

// pathCPU is the CPU time of all through whom the bytes go: the load balancer, the members, the clients (which are
// children of this process, idle otherwise) and the kernel's softirq threads.
func (s *site) pathCPU(through *process) (time.Duration, error) {
	pids := []string{"self", through.pid()}
	for _, m := range s.members {
		pids = append(pids, m.pid())
	}
	kernel, err := softirqThreads()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
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

// residentKB is the memory of the process, in KiB.
func (p *process) residentKB() (float64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", p.pid(), "status"))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	if !found {
		return 0, errors.New("the process has ended")
	}
	return strconv.ParseFloat(strings.Fields(rest)[0], 64)
}

func (p *process) descriptors() (float64, error) {
	entries, err := os.ReadDir(filepath.Join("/proc", p.pid(), "fd"))
	return float64(len(entries)), err
}

func untilStopped() error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return nil
}
