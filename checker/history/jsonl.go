package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxLine bounds one line of a JSONL file: a scan of a million rows fits.
const maxLine = 64 << 20

// WriteJSONL writes a history, one operation a line, with the fields always in
// the same order, so that two equal histories are equal files:
//
//	{"id":0,"client":"c1","gateway":"n1","call":5,"return":9,"outcome":"ok","ts":"17,0","actions":[{"f":"cas","key":"x","arg":2,"expect":null,"result":1}]}
//
// A field that says nothing is left out: return when there was no answer, ts
// when the database gave none, stale when false. A value is null for an absent
// key, an integer, a list, or {"rows":[["k",1],…]}. Bytes that are not UTF-8 in
// a name or error are replaced.
func WriteJSONL(w io.Writer, h *History) error {
	bw := bufio.NewWriterSize(w, 1<<16)
	var buf []byte
	for i := range h.Ops {
		buf = AppendJSON(buf[:0], &h.Ops[i])
		buf = append(buf, '\n')
		if _, err := bw.Write(buf); err != nil {
			return fmt.Errorf("writing the history: %w", err)
		}
	}
	if err := bw.Flush(); err != nil {
		return fmt.Errorf("writing the history: %w", err)
	}
	return nil
}

// AppendJSON appends one operation in the form of WriteJSONL, without a newline.
func AppendJSON(b []byte, op *Op) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendInt(b, int64(op.ID), 10)
	b = appendString(append(b, `,"client":`...), op.Client)
	if op.Gateway != "" {
		b = appendString(append(b, `,"gateway":`...), op.Gateway)
	}
	b = strconv.AppendInt(append(b, `,"call":`...), op.Call, 10)
	if op.Return != Never {
		b = strconv.AppendInt(append(b, `,"return":`...), op.Return, 10)
	}
	b = appendString(append(b, `,"outcome":`...), op.Outcome.String())
	if op.Stale {
		b = append(b, `,"stale":true`...)
	}
	if op.Err != "" {
		b = appendString(append(b, `,"err":`...), op.Err)
	}
	if !op.TS.IsZero() {
		b = appendString(append(b, `,"ts":`...), op.TS.String())
	}
	b = append(b, `,"actions":[`...)
	for i, a := range op.Actions {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"f":`...), a.F.String())
		b = appendString(append(b, `,"key":`...), a.Key)
		b = appendField(b, `,"arg":`, a.Arg)
		b = appendField(b, `,"expect":`, a.Expect)
		b = appendField(b, `,"result":`, a.Result)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

func appendField(b []byte, name string, v Value) []byte {
	if v.IsNone() {
		return b
	}
	return appendValue(append(b, name...), v)
}

func appendValue(b []byte, v Value) []byte {
	switch v.kind {
	case IntKind:
		return strconv.AppendInt(b, v.n, 10)
	case ListKind:
		b = append(b, '[')
		for i, n := range v.List() {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, n, 10)
		}
		return append(b, ']')
	case RowsKind:
		b = append(b, `{"rows":[`...)
		for i, r := range v.Rows() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, '['), r.Key)
			b = appendValue(append(b, ','), r.Value)
			b = append(b, ']')
		}
		return append(b, "]}"...)
	default:
		// None inside rows says no more than absent does.
		return append(b, "null"...)
	}
}

// appendString quotes s as JSON. Nearly all names are plain ASCII, which needs
// no detour through reflection.
func appendString(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, err := json.Marshal(strings.ToValidUTF8(s, "\uFFFD"))
			if err != nil {
				panic("history: a string did not encode: " + err.Error())
			}
			return append(b, q...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// wireOp and wireAction are the shape of a line when it is read.
type wireOp struct {
	ID      *int         `json:"id"`
	Client  string       `json:"client"`
	Gateway string       `json:"gateway"`
	Call    *int64       `json:"call"`
	Return  *int64       `json:"return"`
	Outcome string       `json:"outcome"`
	Stale   bool         `json:"stale"`
	Err     string       `json:"err"`
	TS      string       `json:"ts"`
	Actions []wireAction `json:"actions"`
}

type wireAction struct {
	F      string    `json:"f"`
	Key    string    `json:"key"`
	Arg    wireValue `json:"arg"`
	Expect wireValue `json:"expect"`
	Result wireValue `json:"result"`
}

// wireValue reads a Value. A field that is missing is never unmarshaled and so
// stays None; null is Absent.
type wireValue struct{ Value }

// UnmarshalJSON implements json.Unmarshaler.
func (w *wireValue) UnmarshalJSON(b []byte) error {
	switch {
	case len(b) == 0:
		return errors.New("a value is empty")
	case b[0] == 'n':
		w.Value = NoKey()
	case b[0] == '[':
		// Pointers, because a null would otherwise read as 0 without a word.
		var ps []*int64
		if err := json.Unmarshal(b, &ps); err != nil {
			return fmt.Errorf("a list holds integers only: %w", err)
		}
		ns := make([]int64, len(ps))
		for i, p := range ps {
			if p == nil {
				return errors.New("a list holds integers only, not null")
			}
			ns[i] = *p
		}
		w.Value = List(ns...)
	case b[0] == '{':
		return w.unmarshalRows(b)
	default:
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			return fmt.Errorf("value %s is not null, a 64-bit integer, a list of integers or {\"rows\":…}", b)
		}
		w.Value = Int(n)
	}
	return nil
}

func (w *wireValue) unmarshalRows(b []byte) error {
	var m struct {
		Rows [][]json.RawMessage `json:"rows"`
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return err
	}
	rows := make([]Row, 0, len(m.Rows))
	for _, pair := range m.Rows {
		if len(pair) != 2 {
			return fmt.Errorf("a row has %d parts; it is [key, value]", len(pair))
		}
		var r Row
		var v wireValue
		if err := json.Unmarshal(pair[0], &r.Key); err != nil {
			return fmt.Errorf("the key of a row: %w", err)
		}
		if err := v.UnmarshalJSON(pair[1]); err != nil {
			return err
		}
		if v.kind == RowsKind {
			return errors.New("a row holds rows; it holds null, an integer or a list")
		}
		r.Value = v.Value
		rows = append(rows, r)
	}
	w.Value = Rows(rows...)
	return nil
}

// ReadJSONL reads what WriteJSONL wrote. Ids must rise from line to line; empty
// lines are skipped. An error names the line, what is wrong, and what would be
// right.
func ReadJSONL(r io.Reader) (*History, error) {
	h := &History{}
	names := interner{}
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 1<<16), maxLine)
	last := -1
	line := 0
	for s.Scan() {
		line++
		b := bytes.TrimSpace(s.Bytes())
		if len(b) == 0 {
			continue
		}
		op, err := parseLine(b, names)
		if err == nil && op.ID <= last {
			err = fmt.Errorf("id %d does not follow id %d; operations are ordered by id, each once", op.ID, last)
		}
		if err != nil {
			return nil, fmt.Errorf("history line %d: %w", line, err)
		}
		last = op.ID
		h.Ops = append(h.Ops, op)
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("history line %d: %w; a line is one operation of at most %d bytes", line+1, err, maxLine)
	}
	return h, nil
}

func parseLine(b []byte, names interner) (Op, error) {
	var w wireOp
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		return Op{}, fmt.Errorf("%w; each line is one JSON object as written by WriteJSONL", err)
	}
	if d.More() {
		return Op{}, errors.New("text follows the object; put one operation on a line")
	}
	if w.ID == nil || w.Call == nil || *w.ID < 0 {
		return Op{}, errors.New("id (from 0) and call (ns) are required")
	}
	op := Op{ID: *w.ID, Client: names.of(w.Client), Gateway: names.of(w.Gateway), Call: *w.Call, Return: Never, Stale: w.Stale, Err: names.of(w.Err)}
	var err error
	if op.Outcome, err = ParseOutcome(w.Outcome); err != nil {
		return Op{}, err
	}
	if w.Return != nil {
		op.Return = *w.Return
	}
	if op.Return < op.Call {
		return Op{}, fmt.Errorf("return %d is before call %d; both are virtual nanoseconds", op.Return, op.Call)
	}
	if op.Outcome != Info && op.Return == Never {
		return Op{}, fmt.Errorf("outcome %s needs a return; without an answer the outcome is info", op.Outcome)
	}
	if w.TS != "" {
		if op.TS, err = ParseTimestamp(w.TS); err != nil {
			return Op{}, err
		}
	}
	for _, wa := range w.Actions {
		a := Action{Key: names.of(wa.Key), Arg: wa.Arg.Value, Expect: wa.Expect.Value, Result: wa.Result.Value}
		if a.F, err = ParseF(wa.F); err != nil {
			return Op{}, err
		}
		op.Actions = append(op.Actions, a)
	}
	return op, nil
}

// interner keeps one copy of each name: a file of 100,000 operations has a few
// dozen clients and keys.
type interner map[string]string

func (n interner) of(s string) string {
	if v, ok := n[s]; ok {
		return v
	}
	n[s] = s
	return s
}
