package console

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
)

// What our own handler writes is read as it comes, and a reader that leaves ends it.
func TestLocalTransport(t *testing.T) {
	ended := make(chan error, 1)
	local := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Path", r.URL.Path)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "first\n")
		<-r.Context().Done()
		_, err := io.WriteString(w, "second\n")
		ended <- err
	})
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://here.test/api", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: transport{host: "here.test", local: local, remote: refusing{}}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(answer.Body).ReadString('\n')
	if answer.StatusCode != http.StatusAccepted || answer.Header.Get("X-Path") != "/api" || line != "first\n" || err != nil {
		t.Errorf("%d %v %q %v", answer.StatusCode, answer.Header, line, err)
	}
	leave()
	_ = answer.Body.Close()
	if err := <-ended; !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("the handler writes on: %v", err)
	}
	if _, err := client.Get("http://elsewhere.test/"); !errors.Is(err, errRefusing) {
		t.Errorf("another host: %v", err)
	}
}

var errRefusing = errors.New("nothing goes out")

// refusing is a network that carries nothing.
type refusing struct{}

func (refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, errRefusing }

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{`{"a":"b"}`: `{"a":"b"}`, "ä": `\u00e4`, "😀": `\ud83d\ude00`} {
		if got := ascii(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
