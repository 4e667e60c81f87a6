package lb

// Opt is an attribute of a request: missing, null, or a value. The zero Opt is missing.
type Opt[T any] struct {
	Set   bool // the attribute was in the request, as null or as a value
	Null  bool
	Value T
}

// Some is an attribute with a value.
func Some[T any](v T) Opt[T] { return Opt[T]{Set: true, Value: v} }

// Null is an attribute that is explicitly null.
func Null[T any]() Opt[T] { return Opt[T]{Set: true, Null: true} }

// Or returns the value, or def when the attribute is missing or null.
func (o Opt[T]) Or(def T) T {
	if !o.Set || o.Null {
		return def
	}
	return o.Value
}

// Into writes the attribute to dst: a value as it is, null as whenNull; a missing one leaves dst alone.
func (o Opt[T]) Into(dst *T, whenNull T) {
	if o.Set {
		*dst = o.Or(whenNull)
	}
}

// pointer returns the value, or nil when the attribute is missing or null.
func (o Opt[T]) pointer() *T {
	if !o.Set || o.Null {
		return nil
	}
	return &o.Value
}
