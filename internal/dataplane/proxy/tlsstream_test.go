package proxy

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"poise/internal/testpki"
)

// echoing makes a handshake on fd and echoes until the end; what is returned waits for it and says how it ended.
func echoing(t *testing.T, fd int32, config *tls.Config, isClient bool) func() (*tlsStream, syscall.Errno) {
	t.Helper()
	hs := newHandshakes(2)
	type end struct {
		stream *tlsStream
		errno  syscall.Errno
	}
	ended := make(chan end, 1)
	go func() {
		l := newTLSLoop(t, fd)
		defer l.close()
		r := l.shake(hs, config, isClient)
		hs.stop()
		if r.err != nil {
			t.Error(r.err)
			ended <- end{errno: syscall.EPROTO}
			return
		}
		errno := l.echo(r.stream)
		if errno == 0 && !r.stream.truncated() {
			r.stream.closeNotify()
		}
		ended <- end{r.stream, errno}
	}()
	return func() (*tlsStream, syscall.Errno) {
		select {
		case e := <-ended:
			return e.stream, e.errno
		case <-time.After(patience):
			t.Fatal("the stream does not end")
			return nil, 0
		}
	}
}

// askForEcho sends data and wants it back, closes, and wants an orderly end.
func askForEcho(t *testing.T, c *tls.Conn, data []byte) {
	t.Helper()
	go func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	}()
	back, err := io.ReadAll(c)
	if err != nil {
		t.Error(err)
	}
	if !bytes.Equal(back, data) {
		t.Errorf("%d bytes came back changed, of %d", len(back), len(data))
	}
}

func TestTLSStream(t *testing.T) {
	server, client := serverAndClient(t)
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		for _, size := range []int{0, 1, 100, maxRecord - 1, maxRecord, maxRecord + 1, 5 << 20} {
			for _, isClient := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%d/client=%t", tls.VersionName(version), size, isClient), func(t *testing.T) {
					server, client := server.Clone(), client.Clone()
					server.MinVersion, server.MaxVersion = version, version
					client.MinVersion, client.MaxVersion = version, version
					data := make([]byte, size)
					_, _ = rand.Read(data)
					fd, far := tlsPair(t)
					if isClient {
						end := echoing(t, fd, client, true)
						askForEcho(t, tls.Server(far, server), data)
						mustEndOrderly(t, end)
						return
					}
					end := echoing(t, fd, server, false)
					askForEcho(t, tls.Client(far, client), data)
					mustEndOrderly(t, end)
				})
			}
		}
	}
}

func mustEndOrderly(t *testing.T, end func() (*tlsStream, syscall.Errno)) {
	t.Helper()
	if s, errno := end(); errno != 0 || s.truncated() || s.err != nil {
		t.Errorf("ended with %v (%v)", errno, s)
	}
}

// crypto/tls keeps the part of a record that is there: what comes byte by byte is read like anything else.
func TestTLSByteByByte(t *testing.T) {
	server, client := serverAndClient(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server.MaxVersion = version
		fd, far := tlsPair(t)
		end := echoing(t, fd, server, false)
		askForEcho(t, tls.Client(trickle{far}, client), bytes.Repeat([]byte("some "), 500))
		mustEndOrderly(t, end)
	}
}

// trickle writes byte by byte.
type trickle struct{ net.Conn }

func (c trickle) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

func TestTLSEnds(t *testing.T) {
	server, client := serverAndClient(t)
	for name, test := range map[string]struct {
		leave     func(*tls.Conn, *net.TCPConn)
		want      syscall.Errno
		truncated bool
	}{
		"close_notify": {func(c *tls.Conn, _ *net.TCPConn) { _ = c.Close() }, 0, false},
		"half closed":  {func(c *tls.Conn, _ *net.TCPConn) { _ = c.CloseWrite() }, 0, false},
		"FIN alone":    {func(_ *tls.Conn, raw *net.TCPConn) { _ = raw.CloseWrite() }, 0, true},
		"FIN in a record": {func(_ *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write([]byte("\x17\x03\x03\x00"))
			_ = raw.CloseWrite()
		}, syscall.EPROTO, true},
		"RST":          {func(_ *tls.Conn, raw *net.TCPConn) { _ = raw.SetLinger(0); _ = raw.Close() }, syscall.ECONNRESET, false},
		"not a record": {func(_ *tls.Conn, raw *net.TCPConn) { _, _ = raw.Write(make([]byte, 64)) }, syscall.EPROTO, false},
		"forged record": {func(_ *tls.Conn, raw *net.TCPConn) {
			_, _ = raw.Write([]byte("\x17\x03\x03\x00\x1012345678901234567890"))
		}, syscall.EPROTO, false},
		"oversized record": {func(_ *tls.Conn, raw *net.TCPConn) { _, _ = raw.Write([]byte("\x17\x03\x03\xff\xff1234567890")) }, syscall.EPROTO, false},
	} {
		t.Run(name, func(t *testing.T) {
			fd, far := tlsPair(t)
			end := echoing(t, fd, server, false)
			c := tls.Client(far, client)
			if _, err := c.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			test.leave(c, far)
			s, errno := end()
			if errno != test.want || s.truncated() != test.truncated {
				t.Errorf("%v, truncated %t", errno, s.truncated())
			}
		})
	}
}

// A receiver that does not read makes the sender wait with one record at most; nothing is lost.
func TestTLSSlowReceiver(t *testing.T) {
	server, client := serverAndClient(t)
	fd, far := tlsPair(t)
	results := make(chan handshakeResult, 1)
	hs := newHandshakes(2)
	defer hs.stop()
	l := newTLSLoop(t, fd)
	defer l.close()
	c := tls.Client(far, client)
	shaken := make(chan error, 1)
	go func() { shaken <- c.Handshake() }()
	results <- l.shake(hs, server, false)
	r := <-results
	if err := errors.Join(r.err, <-shaken); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 20<<20)
	_, _ = rand.Read(data)
	sent := 0
	for {
		n, errno := r.stream.write(data[sent:min(len(data), sent+3*maxRecord)])
		sent += n
		if len(r.stream.socket.unsent) > maxUnsent {
			t.Fatalf("%d bytes wait", len(r.stream.socket.unsent))
		}
		if errno == syscall.EAGAIN {
			break
		}
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	if sent == len(data) || !r.stream.pending() {
		t.Fatalf("the kernel has taken all %d bytes", sent)
	}
	go func() {
		if errno := l.write(r.stream, data[sent:]); errno != 0 {
			t.Error(errno)
		}
		r.stream.closeNotify()
	}()
	if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
	}
}

// openssl changes its keys, and has us change ours, in the middle of a conversation.
func TestTLSKeyUpdate(t *testing.T) {
	server, _ := serverAndClient(t)
	fd, far := tlsPair(t)
	end := echoing(t, fd, server, false)
	local, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer local.Close()
	go func() {
		c, err := local.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(far, c); _ = far.CloseWrite() }()
		_, _ = io.Copy(c, far)
		_ = c.Close()
	}()
	command := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", local.Addr().String(), "-tls1_3", "-quiet", "-no_ign_eof")
	in, _ := command.StdinPipe()
	out, _ := command.StdoutPipe()
	says, _ := command.StderrPipe()
	if err := command.Start(); err != nil {
		t.Fatal("openssl s_client: ", err)
	}
	echoes, sayings := bufio.NewScanner(out), bufio.NewScanner(says)
	for _, line := range []string{"one", "K", "two", "k", "three", "K", "K", "four"} {
		_, _ = io.WriteString(in, line+"\n")
		if len(line) > 1 {
			if !echoes.Scan() || echoes.Text() != line {
				t.Fatalf("%s came back as %q", line, echoes.Text())
			}
			continue
		}
		for sayings.Scan() && sayings.Text() != "KEYUPDATE" { // s_client reads its input up to here
		}
	}
	_, _ = io.WriteString(in, "Q\n")
	if err := command.Wait(); err != nil {
		t.Error(err)
	}
	mustEndOrderly(t, end)
}

// A peer that has us write, by asking for new keys again and again, and reads nothing, is given up.
func TestTLSUnsentIsBounded(t *testing.T) {
	fd, far := tlsPair(t)
	defer closeSocket(fd, true)
	_ = far
	s := &tlsSocket{fd: fd}
	record := make([]byte, 1000)
	for i := range 100_000 {
		if _, err := s.Write(record); err != nil {
			if !errors.Is(err, syscall.ENOBUFS) || len(s.unsent) > maxUnsent || i == 0 {
				t.Errorf("%v with %d bytes waiting", err, len(s.unsent))
			}
			return
		}
	}
	t.Errorf("%d bytes wait", len(s.unsent))
}

func TestTLSLeavesTheLoop(t *testing.T) {
	server, client := serverAndClient(t)
	fd, far := tlsPair(t)
	hs := newHandshakes(2)
	defer hs.stop()
	l := newTLSLoop(t, fd)
	c := tls.Client(far, client)
	answer := make(chan error, 1)
	go func() {
		_, err := c.Write([]byte("early"))
		if err == nil {
			_, err = io.ReadFull(c, make([]byte, 5))
		}
		_ = c.Close()
		answer <- err
	}()
	r := l.shake(hs, server, false)
	if r.err != nil {
		t.Fatal(r.err)
	}
	_ = unix.Close(l.epfd)
	conn, err := r.stream.leaveLoop()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
	}
	if conn.RemoteAddr().String() != far.LocalAddr().String() || conn.LocalAddr().String() != far.RemoteAddr().String() {
		t.Errorf("%s to %s", conn.RemoteAddr(), conn.LocalAddr())
	}
	if n, err := io.Copy(conn, io.LimitReader(conn, 5)); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := <-answer; err != nil {
		t.Error(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("%d bytes, %v after the end", n, err)
	}
}

// A client that does not trust us says so.
func TestTLSAlert(t *testing.T) {
	server, client := serverAndClient(t)
	client.RootCAs = testpki.NewAuthority(t, "other").Pool()
	fd, far := tlsPair(t)
	hs := newHandshakes(2)
	defer hs.stop()
	l := newTLSLoop(t, fd)
	defer l.close()
	go func() { _ = tls.Client(far, client).Handshake() }()
	server.MaxVersion = tls.VersionTLS12
	if r := l.shake(hs, server, false); r.err == nil || !strings.Contains(r.err.Error(), "bad certificate") {
		t.Error(r.err)
	}
}
