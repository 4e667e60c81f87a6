package linux

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Settings are written through an instance of procfs of our own, which is closed from time to time: /proc would keep those of
// all namespaces in one list, which every further one is compared with.
func TestSettingsAreNotKeptInProc(t *testing.T) {
	device := func(path string) uint64 {
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		return stat.Dev
	}
	p := &procfs{fd: -1}
	defer p.close()
	for range 3 * procfsUses {
		err := p.use(func(proc string) error {
			if device(proc+"/sys/net") == device("/proc/sys/net") {
				t.Error("it is /proc")
			}
			return nil
		})
		if err != nil || t.Failed() {
			t.Fatal(err)
		}
		if p.uses > procfsUses {
			t.Fatalf("an instance is used %d times, want at most %d", p.uses, procfsUses)
		}
	}
}
