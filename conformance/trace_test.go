// Package conformance holds poise against a real Octavia: recorded requests with their answers are sent again, and what
// comes back is compared. testdata/traces holds one exchange a file, in the order in which they were made.
package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// exchange is one recorded request with its answer.
type exchange struct {
	name    string // the file's name without number and ending
	method  string
	path    string // with the query
	header  http.Header
	body    string
	status  int
	answer  any // the decoded body, nil when there is none
	answers http.Header
}

// readTraces reads every exchange of the folder in order.
func readTraces(folder string) ([]exchange, error) {
	files, err := filepath.Glob(filepath.Join(folder, "*.http"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	var all []exchange
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		e, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		_, e.name, _ = strings.Cut(strings.TrimSuffix(filepath.Base(file), ".http"), "-")
		all = append(all, e)
	}
	return all, nil
}

// parse reads a request and the answer that stands after it. The request's body, if any, is one line.
func parse(text []byte) (exchange, error) {
	request, answer, found := bytes.Cut(text, []byte("\nHTTP/1.1 "))
	if !found {
		return exchange{}, fmt.Errorf("no answer")
	}
	head, body, _ := bytes.Cut(request, []byte("\n\n"))
	line, headers, _ := strings.Cut(string(head), "\n")
	words := strings.Fields(line)
	if len(words) < 3 {
		return exchange{}, fmt.Errorf("request line %q", line)
	}
	e := exchange{method: words[0], path: words[1], header: http.Header{}, body: strings.TrimSpace(string(body))}
	for _, h := range strings.Split(headers, "\n") {
		if name, value, ok := strings.Cut(h, ": "); ok {
			e.header.Set(name, value)
		}
	}
	response := append([]byte("HTTP/1.1 "), bytes.ReplaceAll(answer, []byte("\n"), []byte("\r\n"))...)
	return e, e.parseAnswer(response)
}

func (e *exchange) parseAnswer(text []byte) error {
	// The recorded length is that of the body before it was indented.
	head, body, _ := bytes.Cut(text, []byte("\r\n\r\n"))
	r, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), strings.NewReader("\r\n\r\n"))), nil)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	e.status, e.answers = r.StatusCode, r.Header
	if body = bytes.TrimSpace(body); len(body) > 0 {
		if err := json.Unmarshal(body, &e.answer); err != nil {
			e.answer = string(body)
		}
	}
	return r.Body.Close()
}
