package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"poise/internal/dataplane"
	"poise/internal/dataplane/h1"
)

const (
	defaultPath  = "/"
	defaultCodes = "200"
	// maxInterim answers (1xx) may come before the one that counts.
	maxInterim = 32
)

// checkHTTP succeeds when a request is answered with an expected status. Redirections are not followed.
func checkHTTP(ctx context.Context, network dataplane.Net, w *way, at netip.AddrPort) error {
	c, err := open(ctx, network, w, at)
	if err != nil {
		return err
	}
	defer c.Close()
	return ask(c, &w.monitor, at)
}

// ask sends the request and judges the head of the answer; its body is not read.
func ask(c io.ReadWriter, m *dataplane.Monitor, at netip.AddrPort) error {
	r, err := request(m, at)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, r); err != nil {
		return brokenOff(err)
	}
	status, err := readStatus(c, method(m))
	if err != nil {
		return brokenOff(err)
	}
	return judge(m, status)
}

// judge compares the status of an answer with what is expected.
func judge(m *dataplane.Monitor, status int) error {
	if !expects(codes(m), status) {
		return failure(fmt.Sprintf("answered %d, expected %s", status, codes(m)))
	}
	return nil
}

// brokenOff puts the end of a connection into words.
func brokenOff(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE) {
		return failure("connection closed before an answer")
	}
	return err
}

func codes(m *dataplane.Monitor) string {
	if m.Codes == "" {
		return defaultCodes
	}
	return m.Codes
}

// request is what an HTTP check sends: HTTP/1.0 without any header, unless the monitor says otherwise.
func request(m *dataplane.Monitor, at netip.AddrPort) (string, error) {
	method, path, version := method(m), m.Path, m.HTTPVersion
	if path == "" {
		path = defaultPath
	}
	if version == "" {
		version = "1.0"
	}
	host := hostOf(m, at)
	for _, part := range []string{method, path, version, host} {
		if strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return "", unable(fmt.Sprintf("the monitor cannot ask for %q: it has blanks or control characters", part))
		}
	}
	line := method + " " + path + " HTTP/" + version + "\r\n"
	if version == "1.0" {
		return line + "\r\n", nil
	}
	return line + "Host: " + host + "\r\nConnection: close\r\n\r\n", nil
}

func method(m *dataplane.Monitor) string {
	if m.Method == "" {
		return "GET"
	}
	return m.Method
}

// hostOf is the value of the Host header.
func hostOf(m *dataplane.Monitor, at netip.AddrPort) string {
	if m.Host != "" {
		return m.Host
	}
	return at.String()
}

// readStatus reads the head of an answer as the proxy reads it, so that both have one opinion, and passes over those that come
// before the one that counts (1xx).
func readStatus(r io.Reader, method string) (int, error) {
	buffer := make([]byte, 0, h1.MaxHead)
	var head h1.Head
	for interim := 0; ; {
		n, err := head.ParseResponse(buffer, method)
		switch {
		case err != nil:
			return 0, failure(fmt.Sprintf("%s: %s", errNotHTTP, err))
		case n > 0 && head.Status >= 200:
			return head.Status, nil
		case n > 0 && head.Status == 101 || interim == maxInterim:
			return 0, failure(fmt.Sprintf("answered %d, and no more", head.Status))
		case n > 0:
			interim++
			buffer = buffer[:copy(buffer, buffer[n:])]
			head.Reset()
			continue
		}
		m, err := r.Read(buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+m]
		switch {
		case m > 0:
		case errors.Is(err, io.EOF) && len(buffer) > 0:
			return 0, errNotHTTP
		case err != nil:
			return 0, err
		}
	}
}

const errNotHTTP = failure("the answer is not HTTP")

// expects says whether a status is in a list like "200", "200,202" or "200-204"; blanks do not matter.
func expects(codes string, status int) bool {
	for part := range strings.SplitSeq(codes, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		low, lowErr := strconv.Atoi(strings.TrimSpace(first))
		high, highErr := strconv.Atoi(strings.TrimSpace(last))
		if lowErr == nil && highErr == nil && low <= status && status <= high {
			return true
		}
	}
	return false
}
