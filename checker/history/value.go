package history

import (
	"strconv"
	"strings"
)

// Kind says which of its shapes a Value has.
type Kind uint8

const (
	// None: nothing was recorded. The zero Value. It is not Absent: a read that
	// never returned has Result None, a read that found no key has Absent.
	None Kind = iota
	// Absent: the key had no value.
	Absent
	// IntKind: one 64-bit integer.
	IntKind
	// ListKind: a list of integers (append workloads, sets).
	ListKind
	// RowsKind: keys with their values, in key order (scans).
	RowsKind
)

// Value is what an operation was given or what it saw: nothing recorded, an
// absent key, an integer, a list of integers or rows. It is small (24 bytes) so
// that 100,000 operations stay cheap; lists and rows are shared, hence never
// to be modified after the Value was made. Compare with Equal, not with ==.
type Value struct {
	kind Kind
	n    int64
	rest *rest
}

// rest is the part of a Value that only lists and rows need.
type rest struct {
	list []int64
	rows []Row
}

// Row is one key of a scan with the value found there.
type Row struct {
	Key   string
	Value Value
}

// NoKey is the Value of a key that is not there.
func NoKey() Value { return Value{kind: Absent} }

// Int is an integer Value.
func Int(n int64) Value { return Value{kind: IntKind, n: n} }

// List is a list Value. It keeps the slice: the caller gives it away.
func List(ns ...int64) Value { return Value{kind: ListKind, rest: &rest{list: ns}} }

// Rows is the result of a scan, in the order the database gave. It keeps the
// slice: the caller gives it away.
func Rows(rows ...Row) Value { return Value{kind: RowsKind, rest: &rest{rows: rows}} }

// Kind tells the shape.
func (v Value) Kind() Kind { return v.kind }

// IsNone reports whether nothing was recorded.
func (v Value) IsNone() bool { return v.kind == None }

// IsAbsent reports whether this is the value of a missing key.
func (v Value) IsAbsent() bool { return v.kind == Absent }

// Int returns the integer and whether the value is one.
func (v Value) Int() (int64, bool) { return v.n, v.kind == IntKind }

// List returns the list, nil unless the value is one. Not to be modified.
func (v Value) List() []int64 {
	if v.kind != ListKind || v.rest == nil {
		return nil
	}
	return v.rest.list
}

// Rows returns the rows, nil unless the value holds rows. Not to be modified.
func (v Value) Rows() []Row {
	if v.kind != RowsKind || v.rest == nil {
		return nil
	}
	return v.rest.rows
}

// Equal reports whether two values have the same shape and content.
func (v Value) Equal(w Value) bool {
	if v.kind != w.kind {
		return false
	}
	switch v.kind {
	case IntKind:
		return v.n == w.n
	case ListKind:
		a, b := v.List(), w.List()
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
	case RowsKind:
		a, b := v.Rows(), w.Rows()
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i].Key != b[i].Key || !a[i].Value.Equal(b[i].Value) {
				return false
			}
		}
	}
	return true
}

// String prints a value for people: "nothing" for an absent key, "?" for what
// was not recorded, 7, [1 2], {a:1 b:2}.
func (v Value) String() string {
	switch v.kind {
	case None:
		return "?"
	case Absent:
		return "nothing"
	case IntKind:
		return strconv.FormatInt(v.n, 10)
	case ListKind:
		var b strings.Builder
		b.WriteByte('[')
		for i, n := range v.List() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.FormatInt(n, 10))
		}
		b.WriteByte(']')
		return b.String()
	default:
		var b strings.Builder
		b.WriteByte('{')
		for i, r := range v.Rows() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(r.Key)
			b.WriteByte(':')
			b.WriteString(r.Value.String())
		}
		b.WriteByte('}')
		return b.String()
	}
}
