package h2

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// decoded are the fields of the responses in frames.
func decoded(t *testing.T, frames []byte) (all []string) {
	t.Helper()
	framer := http2.NewFramer(nil, bytes.NewReader(frames))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	framer.MaxHeaderListSize = 1 << 20
	for {
		f, err := framer.ReadFrame()
		if err != nil {
			return all
		}
		for _, field := range f.(*http2.MetaHeadersFrame).Fields {
			all = append(all, field.Name+" "+field.Value)
		}
	}
}

func TestEncoder(t *testing.T) {
	var e Encoder
	long := strings.Repeat("x", 40_000)
	var out []byte
	for i, lines := range []string{
		"Content-Type: text/html\r\nX-Y: z\r\nETag: \"a\"\r\nEmpty: \r\n", "Bare:x\r\n", "Long: " + long + "\r\n", "A-Name-That-Is-Longer-Than-Any-Known-One: x\r\n",
	} {
		from := len(out)
		out = e.AppendLines(e.AppendStatus(append(out, make([]byte, HeaderSize)...), 200+i), []byte(lines))
		out = SealHeaders(out, from, 1, 0)
	}
	want := []string{
		":status 200", "content-type text/html", "x-y z", `etag "a"`, "empty ",
		":status 201", "bare x", ":status 202", "long " + long, ":status 203", "a-name-that-is-longer-than-any-known-one x",
	}
	if diff := cmp.Diff(want, decoded(t, out)); diff != "" {
		t.Error(diff)
	}
}

// The numbers of the static table are those of the standard's.
func TestStaticTable(t *testing.T) {
	d := hpack.NewDecoder(0, nil)
	for name, index := range names {
		fields, err := d.DecodeFull([]byte{indexed | index})
		if err != nil || fields[0].Name != name || len(name) > maxName {
			t.Errorf("%s: %v, %v", name, fields, err)
		}
	}
	for status, index := range statuses {
		fields, err := d.DecodeFull([]byte{indexed | index})
		if err != nil || fields[0].Name != ":status" || fields[0].Value != fmt.Sprint(status) {
			t.Errorf("%d: %v, %v", status, fields, err)
		}
	}
}

func BenchmarkEncoder(b *testing.B) {
	var e Encoder
	lines := []byte("Server: nginx\r\nDate: Sun, 22 Nov 2026 23:00:00 GMT\r\nContent-Type: text/html\r\nContent-Length: 125\r\nETag: \"5f3a\"\r\n")
	out := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		out = e.AppendLines(e.AppendStatus(out[:0], 200), lines)
	}
}
