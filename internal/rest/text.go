package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// ReadText is [ReadBody] for JSON whose texts go into the database: one that the database cannot keep is a [*DecodeError]. A
// body that is no JSON is left to whoever decodes it.
func ReadText(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	body, err := ReadBody(w, r, limit)
	if err != nil {
		return nil, err
	}
	return body, CheckText(body)
}

// CheckText names the first attribute of a JSON body whose text has a NUL, which PostgreSQL does not keep, or is not UTF-8, which
// the decoder would silently replace by other characters.
func CheckText(body []byte) error {
	if utf8.Valid(body) && !bytes.Contains(body, []byte(`\u0000`)) { // the usual case
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	var in place
	for {
		begin := decoder.InputOffset()
		token, err := decoder.Token()
		if err != nil { // the end, or no JSON
			return nil
		}
		text, isText := token.(string)
		why := ""
		switch {
		case isText && !utf8.Valid(body[begin:decoder.InputOffset()]):
			why = "the text is not valid UTF-8"
		case isText && strings.Contains(text, "\x00"):
			why = "the text must not contain NUL characters"
		}
		if why != "" {
			field := in.path(text)
			return &DecodeError{Field: field, Message: fmt.Sprintf("Invalid input for field '%s': %s", field, why)}
		}
		in.pass(token)
	}
}

// place is where in a JSON value the decoder is: the objects and lists around it.
type place []frame

type frame struct {
	isObject bool
	isInside bool   // of a pair: its key is read
	key      string // the last that was read
}

// pass takes a token.
func (p *place) pass(token json.Token) {
	switch token {
	case json.Delim('{'), json.Delim('['):
		*p = append(*p, frame{isObject: token == json.Delim('{')})
		return
	case json.Delim('}'), json.Delim(']'):
		*p = (*p)[:len(*p)-1]
	}
	if len(*p) == 0 {
		return
	}
	top := &(*p)[len(*p)-1]
	if key, isText := token.(string); isText && top.isObject && !top.isInside {
		top.key, top.isInside = key, true
		return
	}
	top.isInside = false // the value is over
}

// path is the dotted path of a text that comes next: a value, or a key, which is then its end.
func (p place) path(next string) string {
	var names []string
	for i, f := range p {
		switch {
		case f.isObject && f.isInside:
			names = append(names, f.key)
		case f.isObject && i == len(p)-1:
			names = append(names, strings.ToValidUTF8(strings.ReplaceAll(next, "\x00", "\ufffd"), "\ufffd"))
		}
	}
	return strings.Join(names, ".")
}
