package keystone

import (
	"fmt"
	"testing"
	"time"
)

func TestSessionCache(t *testing.T) {
	now := time.Now()
	valid := func(hash string) *session { return &session{hash: hash, expiresAt: now.Add(time.Hour)} }
	has := func(c *sessionCache, hash string, at time.Time) bool {
		found, _ := c.get(hash, at)
		return found != nil
	}
	t.Run("remembers for a moment", func(t *testing.T) {
		c := newSessionCache()
		c.put(0, valid("a"), now)
		if !has(c, "a", now.Add(sessionMemory-1)) || has(c, "a", now.Add(sessionMemory)) {
			t.Error("not remembered for its time")
		}
	})
	t.Run("not beyond the token's end", func(t *testing.T) {
		c := newSessionCache()
		c.put(0, &session{hash: "a", expiresAt: now.Add(time.Second)}, now)
		if has(c, "a", now.Add(time.Second)) {
			t.Error("remembered after its end")
		}
	})
	t.Run("refuses what was read before a change", func(t *testing.T) {
		c := newSessionCache()
		_, era := c.get("a", now)
		c.forget()
		c.put(era, valid("a"), now)
		if has(c, "a", now) {
			t.Error("a session from before the change is remembered")
		}
	})
	t.Run("is bounded", func(t *testing.T) {
		c := newSessionCache()
		for i := range 3 * maxSessions {
			c.put(0, valid(fmt.Sprint(i)), now)
			if len(c.sessions) > maxSessions {
				t.Fatalf("%d sessions", len(c.sessions))
			}
		}
	})
}

func TestFailuresAreBounded(t *testing.T) {
	f := &failures{counts: map[string]*failing{}}
	now := time.Now()
	for i := range maxFailing + 100 {
		f.take(attempt{account: fmt.Sprint(i), source: fmt.Sprint(i)}, now)
	}
	if len(f.counts) > maxFailing {
		t.Errorf("failures are counted for %d names", len(f.counts))
	}
}

func TestHashes(t *testing.T) {
	good, err := newPasswords().hash(t.Context(), "u", "secret")
	if err != nil {
		t.Fatal(err)
	}
	cheaper := cost{memoryKiB: 64, passes: 1, lanes: 1}
	salt := make([]byte, argonSaltBytes)
	tests := map[string]struct {
		password, hash string
		want           bool
	}{
		"right":             {"secret", good, true},
		"wrong":             {"Secret", good, false},
		"empty":             {"", good, false},
		"of another cost":   {"secret", encodeHash(cheaper, salt, cheaper.key("secret", salt)), true},
		"no hash":           {"secret", "", false},
		"cut off":           {"secret", good[:len(good)-1], false},
		"of another method": {"secret", "$2b$12$abcdefghijklmnopqrstuv", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := matches(test.password, test.hash); got != test.want {
				t.Errorf("matches = %v", got)
			}
		})
	}
}
