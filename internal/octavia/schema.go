package octavia

import (
	"reflect"
	"strings"
	"time"
)

// instant is a time in the answers that are poise's own: UTC, to the millisecond. The zero time is null.
type instant struct{ time.Time }

// MarshalJSON writes the form of RFC 3339.
func (i instant) MarshalJSON() ([]byte, error) {
	if i.IsZero() {
		return []byte("null"), nil
	}
	return []byte(i.UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// schemaOf is the schema of a Go value as encoding/json writes it. What may be left out is not required; there is nothing else.
func schemaOf[T any]() schema { return schemaOfType(reflect.TypeFor[T]()) }

func schemaOfType(t reflect.Type) schema {
	switch {
	case t == reflect.TypeFor[instant]():
		return schema{"type": []string{"string", "null"}, "format": "date-time"}
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	}
	switch t.Kind() {
	case reflect.Struct:
		return schemaOfStruct(t)
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOfType(t.Elem())}
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.String:
		return schema{"type": "string"}
	case reflect.Float64:
		return schema{"type": "number"}
	default:
		return schema{"type": "integer"}
	}
}

func schemaOfStruct(t reflect.Type) schema {
	properties, needed := schema{}, []string{}
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous { // its fields come by themselves
			continue
		}
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		properties[name] = schemaOfType(field.Type)
		if !strings.Contains(options, "omitempty") {
			needed = append(needed, name)
		}
	}
	return schema{"type": "object", "properties": properties, "required": needed, "additionalProperties": false}
}
