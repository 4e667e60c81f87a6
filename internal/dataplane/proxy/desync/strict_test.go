package desync

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

var errMalformed = errors.New("malformed")

// readStrictly reads requests by RFC 9112 to the letter, with nothing of the proxy's or of net/http's code: each must be so
// plain that there is no second reading. It returns the messages as requestCase.want has them. The error is
// io.ErrUnexpectedEOF when the last one is incomplete.
func readStrictly(raw []byte) (messages []string, err error) {
	for len(raw) > 0 {
		head, rest, found := bytes.Cut(raw, []byte("\r\n\r\n"))
		if !found {
			return messages, io.ErrUnexpectedEOF
		}
		start, fields, err := readHead(string(head))
		if err != nil {
			return messages, err
		}
		var body string
		if body, raw, err = readBody(rest, fields); err != nil {
			return messages, err
		}
		messages = append(messages, message(start, body))
	}
	return messages, nil
}

// readHead returns method and target, and the fields by their names in lower case.
func readHead(head string) (start string, fields map[string]string, err error) {
	lines := strings.Split(head, "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[0] == "" || words[1] == "" ||
		words[2] != "HTTP/1.1" && words[2] != "HTTP/1.0" || strings.ContainsAny(head, "\x00\x7f\x0b\x0c") {
		return "", nil, fmt.Errorf("%w start line %q", errMalformed, lines[0])
	}
	fields = map[string]string{}
	for _, line := range lines {
		if strings.ContainsAny(line, "\r\n") {
			return "", nil, fmt.Errorf("%w: bare CR or LF in %q", errMalformed, line)
		}
	}
	for _, line := range lines[1:] {
		name, value, found := strings.Cut(line, ":")
		if !found || name == "" || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~") != "" {
			return "", nil, fmt.Errorf("%w line %q", errMalformed, line)
		}
		name = strings.ToLower(name)
		if _, twice := fields[name]; twice && (name == "host" || name == "content-length" || name == "transfer-encoding") {
			return "", nil, fmt.Errorf("%w: two of %s", errMalformed, name)
		}
		fields[name] = strings.Trim(value, " \t")
	}
	_, length := fields["content-length"]
	_, coded := fields["transfer-encoding"]
	if coded && (length || words[2] == "HTTP/1.0") {
		return "", nil, fmt.Errorf("%w: two framings", errMalformed)
	}
	return words[0] + " " + words[1], fields, nil
}

func readBody(raw []byte, fields map[string]string) (body string, rest []byte, err error) {
	if coding, coded := fields["transfer-encoding"]; coded {
		if coding != "chunked" {
			return "", nil, fmt.Errorf("%w coding %q", errMalformed, coding)
		}
		return readChunks(raw)
	}
	length := 0
	if text, ok := fields["content-length"]; ok {
		if length, err = strconv.Atoi(text); err != nil || strings.Trim(text, "0123456789") != "" {
			return "", nil, fmt.Errorf("%w length %q", errMalformed, text)
		}
	}
	if len(raw) < length {
		return "", nil, io.ErrUnexpectedEOF
	}
	return string(raw[:length]), raw[length:], nil
}

func readChunks(raw []byte) (body string, rest []byte, err error) {
	for {
		line, data, found := bytes.Cut(raw, []byte("\r\n"))
		if !found {
			return "", nil, io.ErrUnexpectedEOF
		}
		digits, extension, _ := strings.Cut(string(line), ";")
		size, err := strconv.ParseUint(digits, 16, 63)
		if err != nil || strings.ContainsAny(extension, "\r\n\x00") {
			return "", nil, fmt.Errorf("%w size of a chunk %q", errMalformed, line)
		}
		if size == 0 {
			return readTrailers(body, data)
		}
		if uint64(len(data)) < size+2 {
			return "", nil, io.ErrUnexpectedEOF
		}
		if string(data[size:size+2]) != "\r\n" {
			return "", nil, fmt.Errorf("%w end of a chunk", errMalformed)
		}
		body, raw = body+string(data[:size]), data[size+2:]
	}
}

func readTrailers(body string, raw []byte) (string, []byte, error) {
	for {
		line, rest, found := bytes.Cut(raw, []byte("\r\n"))
		switch {
		case !found:
			return "", nil, io.ErrUnexpectedEOF
		case len(line) == 0:
			return body, rest, nil
		case bytes.ContainsAny(line, "\r\n\x00"), bytes.IndexByte(line, ':') <= 0:
			return "", nil, fmt.Errorf("%w trailer %q", errMalformed, line)
		}
		raw = rest
	}
}
