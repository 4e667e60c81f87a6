package barbican

import (
	"encoding/base64"
	"mime"
	"strings"
	"unicode/utf8"
)

// The content types of payloads.
const (
	typeText   = "text/plain"
	typeBinary = "application/octet-stream"
	typePKCS8  = "application/pkcs8"
)

const supportedTypes = typeText + ", " + typeText + "; charset=utf-8, " + typeBinary + ", " + typePKCS8

// parseType gives a content type its plain form. Text is in UTF-8 and nothing else.
func parseType(text string) (contentType string, isSupported bool) {
	contentType, parameters, err := mime.ParseMediaType(text)
	if err != nil {
		return "", false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return "", false
		}
	}
	return contentType, contentType == typeText || contentType == typeBinary || contentType == typePKCS8
}

// payloadOfJSON reads the payload of a create. Text stands there as it is, all else in base64. White space around it is
// dropped, as in Barbican: a passphrase is not meant to end with the line end of the file that it came from.
func payloadOfJSON(payload, contentType, encoding *string) ([]byte, string, error) {
	if contentType == nil {
		return nil, "", errBadField("payload_content_type", "it is required with a payload")
	}
	kept, isSupported := parseType(*contentType)
	if !isSupported {
		return nil, "", errBadField("payload_content_type", "it is not one of %s", supportedTypes)
	}
	if len(*payload) > MaxPayload {
		return nil, "", errPayloadTooLarge()
	}
	text := strings.TrimSpace(*payload)
	if text == "" {
		return nil, "", errBadField("payload", "it is empty")
	}
	if kept == typeText {
		if encoding != nil {
			return nil, "", errBadField("payload_content_encoding", "text has none")
		}
		return []byte(text), kept, nil
	}
	if encoding == nil || *encoding != "base64" {
		return nil, "", errBadField("payload_content_encoding", "it has to be base64 for %s", kept)
	}
	content, err := decodeBase64(text)
	if err != nil {
		return nil, "", errBadField("payload", "it is not in base64")
	}
	return content, kept, nil
}

// payloadOfBody reads the payload of a PUT, which is the body itself or, when Content-Encoding says so, base64 of it.
func payloadOfBody(body []byte, contentType, encoding string) ([]byte, string, error) {
	kept, isSupported := parseType(contentType)
	switch {
	case !isSupported || kept == typePKCS8:
		return nil, "", errMediaType(typeText + " or " + typeBinary)
	case len(body) == 0:
		return nil, "", errBad("There is no payload in the body.")
	case len(body) > MaxPayload:
		return nil, "", errPayloadTooLarge()
	case kept == typeText && !utf8.Valid(body):
		return nil, "", errBad("The payload is not text in UTF-8.")
	case encoding == "":
		return body, kept, nil
	case kept == typeText || !strings.EqualFold(encoding, "base64"):
		return nil, "", errBad("The Content-Encoding %q is not supported for %s.", encoding, kept)
	}
	content, err := decodeBase64(string(body))
	if err != nil || len(content) == 0 {
		return nil, "", errBad("The payload is not in base64.")
	}
	return content, kept, nil
}

func errPayloadTooLarge() error {
	return errTooLarge("The payload is longer than %d bytes.", MaxPayload)
}

// decodeBase64 takes lines, as the base64 command writes them.
func decodeBase64(text string) ([]byte, error) {
	return base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
}

// acceptedType is the content type in which a payload is handed out: the first one in the Accept header that is there.
// "*/*" is the payload's own; without a header it is binary, as in Barbican.
func acceptedType(accept, own string, payload []byte) (string, error) {
	if accept == "" {
		accept = typeBinary
	}
	for wanted := range strings.SplitSeq(accept, ",") {
		wanted, _, _ = strings.Cut(wanted, ";q=")
		if strings.TrimSpace(wanted) == "*/*" {
			return own, nil
		}
		contentType, isSupported := parseType(wanted)
		if isSupported && (contentType != typeText || utf8.Valid(payload)) {
			return contentType, nil
		}
	}
	return "", errNotAcceptable("The payload is %s, and cannot be had as %s.", own, accept)
}
