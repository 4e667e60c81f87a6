package linux

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"
	"testing"
)

// Limits that only the host can raise are said at the start, with what raises them.
func TestTightNeighboursAreSaid(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	limits, err := neighbourTables()
	if err != nil {
		t.Fatal(err)
	}
	if limits["arp_cache"] == 0 {
		t.Fatalf("limits %v, want that of arp_cache", limits)
	}
	var log bytes.Buffer
	f, err := New(t.Context(), Config{Tag: strconv.FormatInt(int64(tags.Add(1)), 16), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error("Close:", err)
	}
	said := strings.Contains(log.String(), "net.ipv4.neigh.default.gc_thresh3")
	if isLow := limits["arp_cache"] < comfortableNeighbours; said != isLow {
		t.Errorf("limit %d: said %v, want %v: %q", limits["arp_cache"], said, isLow, log.String())
	}
	if text := tightNeighbours(map[string]int{"arp_cache": 1024, "ndisc_cache": 1 << 20}); !strings.Contains(text, "1024 of ipv4") ||
		strings.Contains(text, "ipv6") {
		t.Errorf("of a low limit: %q", text)
	}
}
