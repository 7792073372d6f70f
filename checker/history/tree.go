package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"olympos.io/encoding/edn"
)

// A tree is what EDN and JSON have in common, as far as histories use it: nil,
// bool, int64, string, word, []any and *dict. Whatever else the parsers give
// (fractions, characters) is passed on and refused where a value is asked for.

// word is a keyword or symbol, without its colon.
type word string

// dict is a map with its keys in order, because the order of Go's maps would
// leak into what is read.
type dict struct {
	keys []any
	vals []any
}

// get is the value under a keyword or string of that name.
func (d *dict) get(name string) (any, bool) {
	for i, k := range d.keys {
		if wordOf(k) == name {
			return d.vals[i], true
		}
	}
	return nil, false
}

// wordOf is the name that a keyword, symbol or string holds; "" when it is
// nothing of the kind. JSON has no keywords: some writers keep the colon.
func wordOf(v any) string {
	switch v := v.(type) {
	case word:
		return string(v)
	case string:
		return strings.TrimPrefix(v, ":")
	}
	return ""
}

// ednParser parses events of EDN. It keeps its buffer: the parser below asks for
// four kilobytes, and an event has a hundred bytes.
type ednParser struct{ buf *bufio.Reader }

func newEDNParser() *ednParser { return &ednParser{bufio.NewReader(nil)} }

// parse parses one map of EDN.
func (p *ednParser) parse(form []byte) (d *dict, err error) {
	// The parser panics on some texts that are no EDN, such as maps with maps as
	// keys of maps; what a file holds must never end the program.
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("is no EDN: %v", p)
		}
	}()
	var v any
	p.buf.Reset(bytes.NewReader(form))
	if err := edn.NewDecoder(p.buf).Decode(&v); err != nil {
		return nil, fmt.Errorf("is no EDN: %w", err)
	}
	d, ok := plain(v).(*dict)
	if !ok {
		return nil, errors.New("is no map; an event is {:type :invoke, :f :read, :process 0, …}")
	}
	return d, nil
}

// parseJSON parses one object of JSON.
func parseJSON(form []byte) (*dict, error) {
	dec := json.NewDecoder(bytes.NewReader(form))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("is no JSON object: %w", err)
	}
	if dec.More() {
		return nil, errors.New("is followed by other text; events are separated by commas or lines")
	}
	return plain(v).(*dict), nil
}

// plain turns what a parser gave into a tree.
func plain(v any) any {
	switch v := v.(type) {
	case edn.Keyword:
		return word(v)
	case edn.Symbol:
		return word(v)
	case edn.Tag:
		return plain(v.Value)
	case int:
		return int64(v)
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return n
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[any]any:
		d := &dict{}
		for k, x := range v {
			d.keys, d.vals = append(d.keys, plain(k)), append(d.vals, plain(x))
		}
		sort.Sort(d)
		return d
	case map[string]any:
		d := &dict{}
		for k, x := range v {
			d.keys, d.vals = append(d.keys, k), append(d.vals, plain(x))
		}
		sort.Sort(d)
		return d
	case map[any]bool: // a set
		d := &dict{}
		for k := range v {
			k = plain(k)
			d.keys, d.vals = append(d.keys, k), append(d.vals, k)
		}
		sort.Sort(d)
		return d.vals
	}
	return v
}

// Len, Less and Swap order a dict: numbers before names, each kind by its own order.
func (d *dict) Len() int { return len(d.keys) }

// Less implements sort.Interface.
func (d *dict) Less(i, j int) bool {
	a, aInt := d.keys[i].(int64)
	b, bInt := d.keys[j].(int64)
	switch {
	case aInt && bInt:
		return a < b
	case aInt != bInt:
		return aInt
	}
	return show(d.keys[i]) < show(d.keys[j])
}

// Swap implements sort.Interface.
func (d *dict) Swap(i, j int) {
	d.keys[i], d.keys[j] = d.keys[j], d.keys[i]
	d.vals[i], d.vals[j] = d.vals[j], d.vals[i]
}

// show prints a tree as EDN, for messages.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return "nil"
	case word:
		return ":" + string(v)
	case string:
		return strconv.Quote(v)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = show(v[i])
		}
		return "[" + strings.Join(parts, " ") + "]"
	case *dict:
		parts := make([]string, len(v.keys))
		for i := range v.keys {
			parts[i] = show(v.keys[i]) + " " + show(v.vals[i])
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(v)
}

// clip shortens what show printed to what fits a message.
func clip(v any) string {
	s := show(v)
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
