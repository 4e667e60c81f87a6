package h2

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

// frame is a frame as it is sent.
func frame(t Type, flags Flags, stream uint32, payload string) []byte {
	return append(AppendFrame(nil, len(payload), t, flags, stream), payload...)
}

// fault is what is wrong, without words; the zero value is nothing.
func fault(err error) (f Error) {
	var e *Error
	if errors.As(err, &e) {
		f = Error{Stream: e.Stream, Code: e.Code}
	}
	return f
}

func TestNext(t *testing.T) {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	connection := func(code Code) Error { return Error{Code: code} }
	for _, test := range []struct {
		name    string
		frame   []byte
		payload string
		want    Error
	}{
		{"DATA", frame(Data, 0, 1, "hello"), "hello", Error{}},
		{"DATA with padding", frame(Data, Padded, 1, "\x02hello\x00\x00"), "hello", Error{}},
		{"nothing but padding", frame(Data, Padded, 1, "\x02\x00\x00"), "", Error{}},
		{"padding that is too long", frame(Data, Padded, 1, "\x03\x00\x00"), "", connection(ProtocolError)},
		{"padding without a length", frame(Data, Padded, 1, ""), "", connection(FrameSizeError)},
		{"DATA on the connection", frame(Data, 0, 0, "hello"), "", connection(ProtocolError)},
		{"HEADERS", frame(Headers, 0, 1, "x"), "x", Error{}},
		{"HEADERS with priority", frame(Headers, Prioritised, 1, "\x00\x00\x00\x03\x10x"), "x", Error{}},
		{"HEADERS with both", frame(Headers, Prioritised|Padded, 1, "\x01\x00\x00\x00\x03\x10xp"), "x", Error{}},
		{"HEADERS shorter than its priority", frame(Headers, Prioritised, 1, "\x00\x00\x00\x03"), "", connection(FrameSizeError)},
		{"HEADERS on the connection", frame(Headers, 0, 0, "x"), "", connection(ProtocolError)},
		{"PRIORITY", frame(Priority, 0, 1, "\x00\x00\x00\x03\x10"), "\x00\x00\x00\x03\x10", Error{}},
		{"PRIORITY of a wrong length", frame(Priority, 0, 1, "\x00"), "", Error{Stream: 1, Code: FrameSizeError}},
		{"PRIORITY on itself", frame(Priority, 0, 3, "\x80\x00\x00\x03\x10"), "", Error{Stream: 3, Code: ProtocolError}},
		{"RST_STREAM of a wrong length", frame(Reset, 0, 1, "\x00"), "", connection(FrameSizeError)},
		{"RST_STREAM on the connection", frame(Reset, 0, 0, zeros[:4]), "", connection(ProtocolError)},
		{"SETTINGS of a wrong length", frame(Settings, 0, 0, "\x00"), "", connection(FrameSizeError)},
		{"SETTINGS on a stream", frame(Settings, 0, 1, ""), "", connection(ProtocolError)},
		{"acknowledgement with settings", frame(Settings, Ack, 0, zeros[:6]), "", connection(FrameSizeError)},
		{"PUSH_PROMISE", frame(PushPromise, 0, 1, zeros), "", connection(ProtocolError)},
		{"PING of a wrong length", frame(Ping, 0, 0, "\x00"), "", connection(FrameSizeError)},
		{"PING on a stream", frame(Ping, 0, 1, zeros), "", connection(ProtocolError)},
		{"GOAWAY that is too short", frame(GoAway, 0, 0, zeros[:4]), "", connection(FrameSizeError)},
		{"GOAWAY on a stream", frame(GoAway, 0, 1, zeros), "", connection(ProtocolError)},
		{"WINDOW_UPDATE by nothing", frame(WindowUpdate, 0, 0, zeros[:4]), "", connection(ProtocolError)},
		{"WINDOW_UPDATE of a stream by nothing", frame(WindowUpdate, 0, 5, zeros[:4]), "", Error{Stream: 5, Code: ProtocolError}},
		{"WINDOW_UPDATE of a wrong length", frame(WindowUpdate, 0, 0, "\x01"), "", connection(FrameSizeError)},
		{"CONTINUATION on the connection", frame(Continuation, 0, 0, "x"), "", connection(ProtocolError)},
		{"unknown", frame(0x77, 0xff, 0, "x"), "x", Error{}},
		{"too long", AppendFrame(nil, MaxFrame+1, Data, 0, 1), "", connection(FrameSizeError)},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, n, err := Next(append(bytes.Clone(test.frame), "more"...))
			if diff := cmp.Diff(test.want, fault(err)); diff != "" {
				t.Fatal(diff)
			}
			if err == nil && (n != len(test.frame) || string(f.Payload) != test.payload || f.Length != n-HeaderSize) {
				t.Errorf("%d bytes, %+v", n, f)
			}
			for cut := range test.frame {
				if _, n, err := Next(test.frame[:cut]); n > 0 && err == nil {
					t.Fatalf("complete after %d bytes", cut)
				}
			}
		})
	}
}

func TestParseSettings(t *testing.T) {
	setting := func(id, value uint32) []byte { return AppendSettings(nil, id, value)[HeaderSize:] }
	for _, test := range []struct {
		name    string
		payload []byte
		window  int64
		want    Code
	}{
		{"none", nil, 7, NoError},
		{"window", setting(4, 100), 100, NoError},
		{"the last counts", append(setting(4, 100), setting(4, 1)...), 1, NoError},
		{"largest window", setting(4, 1<<31-1), 1<<31 - 1, NoError},
		{"window that is too large", setting(4, 1<<31), 0, FlowControlError},
		{"push", setting(2, 1), 7, NoError},
		{"push, twice", setting(2, 2), 0, ProtocolError},
		{"frames that are too short", setting(5, 1<<14-1), 0, ProtocolError},
		{"frames that are too long", setting(5, 1<<24), 0, ProtocolError},
		{"unknown", setting(0xf000, 5), 7, NoError},
	} {
		window, err := ParseSettings(test.payload, 7)
		if window != test.window || fault(err).Code != test.want {
			t.Errorf("%s: %d, %v", test.name, window, err)
		}
	}
}

func TestWindows(t *testing.T) {
	in := NewInflow(100)
	if !in.Take(60) || in.Take(60) {
		t.Error("the window does not hold 100 bytes")
	}
	in = NewInflow(100)
	var told uint32
	for range 50 {
		if !in.Take(20) {
			t.Fatal("the window is shut")
		}
		told += in.Give(20)
	}
	if told != 1000 && told != 980 {
		t.Errorf("told of %d bytes", told)
	}
	out := Outflow(DefaultWindow)
	if !out.Widen(maxWindow-DefaultWindow) || out.Widen(1) {
		t.Error("the window may be larger than it may")
	}
	var rate Rate
	for range 10 {
		if rate.Exceeds(1500, 10) {
			t.Error("ten are too many")
		}
	}
	if !rate.Exceeds(1999, 10) || rate.Exceeds(2000, 10) {
		t.Error("the eleventh is not too many, or the first of the next second is")
	}
}

// What is appended is what others read.
func TestAppend(t *testing.T) {
	var out []byte
	out = AppendSettings(out, 3, 128)
	out = AppendSettingsAck(out)
	out = AppendWindowUpdate(out, 0, 5)
	out = AppendPong(out, []byte("12345678"))
	out = AppendReset(out, 3, RefusedStream)
	out = AppendGoAway(out, 5, EnhanceYourCalm)
	framer := http2.NewFramer(nil, bytes.NewReader(out))
	for i, want := range []string{
		"[FrameHeader SETTINGS len=6]", "[FrameHeader SETTINGS flags=ACK len=0]", "[FrameHeader WINDOW_UPDATE len=4]",
		"[FrameHeader PING flags=ACK len=8]", "[FrameHeader RST_STREAM stream=3 len=4]", "[FrameHeader GOAWAY len=8]",
	} {
		f, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if got := f.Header().String(); got != want {
			t.Errorf("%d: %s, want %s", i, got, want)
		}
	}
}

// However frames are cut into pieces, they are the same; what comes out is within what went in.
func FuzzNext(f *testing.F) {
	f.Add(frame(Data, Padded, 1, "\x02hello\x00\x00"))
	f.Add(frame(Headers, Prioritised|Padded, 1, "\x01\x00\x00\x00\x03\x10xp"))
	f.Add(append(frame(Settings, 0, 0, ""), frame(WindowUpdate, 0, 1, "\x00\x00\x00\x00")...))
	f.Fuzz(func(t *testing.T, p []byte) {
		for len(p) > 0 {
			f, n, err := Next(p)
			if n == 0 {
				return
			}
			if n != HeaderSize+f.Length || len(f.Payload) > f.Length {
				t.Fatalf("%d bytes, %+v", n, f)
			}
			again, m, errAgain := Next(p[:n])
			if m != n || !cmp.Equal(f, again) || fault(err) != fault(errAgain) {
				t.Fatalf("%+v, then %+v", f, again)
			}
			if f.Type == Settings && err == nil {
				_, _ = ParseSettings(f.Payload, DefaultWindow)
			}
			p = p[n:]
		}
	})
}
