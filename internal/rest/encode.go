package rest

import (
	"encoding/json"
	"slices"
	"strconv"
)

// appendJSON appends v as [json.Marshal] writes it. What lists of thousands of objects are made of (maps and slices of any,
// texts, numbers) is written without reflection, which takes a third of the time and garbage.
func appendJSON(to []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(to, "null"...), nil
	case bool:
		return strconv.AppendBool(to, v), nil
	case int:
		return strconv.AppendInt(to, int64(v), 10), nil
	case string:
		return appendText(to, v)
	case map[string]any:
		return appendObject(to, v)
	case []any:
		return appendList(to, v)
	case []map[string]any:
		return appendList(to, v)
	default:
		text, err := json.Marshal(v)
		return append(to, text...), err
	}
}

// appendObject writes the keys in order, like [json.Marshal].
func appendObject(to []byte, object map[string]any) (_ []byte, err error) {
	if object == nil {
		return append(to, "null"...), nil
	}
	var room [32]string // more than most objects have
	keys := room[:0]
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	to = append(to, '{')
	for i, key := range keys {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = appendText(to, key); err != nil {
			return nil, err
		}
		if to, err = appendJSON(append(to, ':'), object[key]); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

func appendList[T any](to []byte, list []T) (_ []byte, err error) {
	if list == nil {
		return append(to, "null"...), nil
	}
	to = append(to, '[')
	for i, item := range list {
		if i > 0 {
			to = append(to, ',')
		}
		if to, err = appendJSON(to, item); err != nil {
			return nil, err
		}
	}
	return append(to, ']'), nil
}

// appendText writes a text of plain characters itself; the others are escaped, and are left to the library.
func appendText(to []byte, s string) ([]byte, error) {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			return append(to, text...), err
		}
	}
	to = append(to, '"')
	to = append(to, s...)
	return append(to, '"'), nil
}
