package barbican

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

func newRing(key byte) *keyring {
	text := bytes.Repeat([]byte{key}, keyBytes)
	return &keyring{current: keyID(text), keys: map[string][]byte{keyID(text): text}}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(keyFileHeader + "0f0d2c6a1b0c4e5f AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"))
	f.Add([]byte("\n# only\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		ring, err := parseKeys(text)
		if err != nil {
			return
		}
		for id, key := range ring.keys {
			if len(key) != keyBytes || keyID(key) != id {
				t.Errorf("key %s of %d bytes", id, len(key))
			}
		}
		if ring.keys[ring.current] == nil {
			t.Error("no current key")
		}
	})
}

// FuzzSeal flips a bit of what is kept: it then opens no more.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("payload"), "id", "project", uint(3))
	f.Add([]byte{}, "", "", uint(0))
	f.Fuzz(func(t *testing.T, payload []byte, id, project string, at uint) {
		ring := newRing(7)
		box, err := ring.seal(id, project, payload)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ring.open(id, project, box); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%q came back as %q: %v", payload, got, err)
		}
		for _, part := range [][]byte{box.WrappedKey, box.Sealed} {
			bit := at % uint(8*len(part))
			part[bit/8] ^= 1 << (bit % 8)
			if got, err := ring.open(id, project, box); err == nil {
				t.Errorf("with bit %d flipped it opens as %q", bit, got)
			}
			part[bit/8] ^= 1 << (bit % 8)
		}
		if _, err := ring.open(id+"x", project, box); err == nil {
			t.Error("it opens for another secret")
		}
		if _, err := newRing(8).open(id, project, box); err == nil {
			t.Error("it opens with another key")
		}
	})
}

// FuzzPayload puts a payload and asks for it: what is handed out as text is text.
func FuzzPayload(f *testing.F) {
	f.Add([]byte("AP8=\n"), "application/octet-stream", "base64", "text/plain, */*;q=0.1")
	f.Add([]byte("é"), "text/plain; charset=utf-8", "", "application/octet-stream")
	f.Fuzz(func(t *testing.T, body []byte, contentType, encoding, accept string) {
		payload, kept, err := payloadOfBody(body, contentType, encoding)
		if err != nil {
			return
		}
		if len(payload) == 0 || len(payload) > MaxPayload || (kept != typeText && kept != typeBinary) {
			t.Errorf("%d bytes of %s", len(payload), kept)
		}
		given, err := acceptedType(accept, kept, payload)
		if err == nil && given == typeText && !utf8.Valid(payload) {
			t.Errorf("%q is handed out as text", payload)
		}
	})
}
