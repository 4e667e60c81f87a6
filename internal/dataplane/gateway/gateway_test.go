package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ways are how requests get through: by the version that the client speaks and the one that the member speaks.
var ways = []struct{ client, member int }{{2, 1}, {2, 2}, {1, 1}, {1, 2}}

// onEachWay runs a test with a member that has this handler.
func onEachWay(t *testing.T, set setting, handler http.HandlerFunc, test func(t *testing.T, b *bench, client *http.Client)) {
	for _, way := range ways {
		t.Run(fmt.Sprintf("HTTP_%d to HTTP_%d", way.client, way.member), func(t *testing.T) {
			set := set
			var address string
			if way.member == 2 {
				set.membersTLS = http2ToMembers
				address = memberTLS(t, true, handler)
			} else {
				address = member(t, handler)
			}
			b := newBench(t, set, address)
			test(t, b, b.client(way.client))
		})
	}
}

func TestRequestAndResponse(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Echo", r.Method+" "+r.Host+" "+r.RequestURI+" "+r.Header.Get("X-Test"))
		w.WriteHeader(201)
		fmt.Fprintf(w, "%d bytes", len(body))
	}
	onEachWay(t, setting{}, echo, func(t *testing.T, b *bench, client *http.Client) {
		for _, size := range []int{0, 1, smallBody, smallBody + 1, 1 << 20} {
			request, _ := http.NewRequest("POST", b.url("/a//b?c=%20d|"), strings.NewReader(strings.Repeat("x", size)))
			request.Header.Set("X-Test", "yes")
			request.Host = "www.example.com"
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if got, want := string(body), fmt.Sprintf("%d bytes", size); got != want || response.StatusCode != 201 {
				t.Errorf("%d %q, want %q", response.StatusCode, got, want)
			}
			if got, want := response.Header.Get("X-Echo"), "POST www.example.com /a//b?c=%20d| yes"; got != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}
