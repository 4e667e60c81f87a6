package h2

import "encoding/binary"

const settingSize = 6

// Setting is a parameter of the connection that one side tells the other (RFC 9113 §6.5.2).
type Setting uint16

// The settings that a server says or heeds.
const (
	EnablePush           Setting = 0x2
	MaxConcurrentStreams Setting = 0x3
	InitialWindowSize    Setting = 0x4
	MaxFrameSize         Setting = 0x5
	MaxHeaderListSize    Setting = 0x6
)

// AppendSettings appends SETTINGS with pairs of a setting and its value.
func AppendSettings(dst []byte, pairs ...uint32) []byte {
	dst = AppendFrame(dst, len(pairs)/2*settingSize, Settings, 0, 0)
	for i := 0; i < len(pairs); i += 2 {
		dst = binary.BigEndian.AppendUint16(dst, uint16(pairs[i]))
		dst = binary.BigEndian.AppendUint32(dst, pairs[i+1])
	}
	return dst
}

// AppendSettingsAck appends the acknowledgement of a client's SETTINGS.
func AppendSettingsAck(dst []byte) []byte { return AppendFrame(dst, 0, Settings, Ack, 0) }

// ParseSettings checks the payload of SETTINGS and returns the initial window of streams that it leaves in force; the last of
// several counts. Whatever else a client may say does not matter to a server that sends short frames and no table of fields.
func ParseSettings(payload []byte, window int64) (int64, error) {
	for ; len(payload) >= settingSize; payload = payload[settingSize:] {
		value := binary.BigEndian.Uint32(payload[2:])
		switch Setting(binary.BigEndian.Uint16(payload)) {
		case EnablePush:
			if value > 1 {
				return 0, Broken(ProtocolError, "invalid SETTINGS_ENABLE_PUSH")
			}
		case InitialWindowSize:
			if value > maxWindow {
				return 0, Broken(FlowControlError, "invalid SETTINGS_INITIAL_WINDOW_SIZE")
			}
			window = int64(value)
		case MaxFrameSize:
			if value < MaxFrame || value >= 1<<24 {
				return 0, Broken(ProtocolError, "invalid SETTINGS_MAX_FRAME_SIZE")
			}
		}
	}
	return window, nil
}
