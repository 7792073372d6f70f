package history

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteEDN writes a history in the form of Jepsen, one event a line, so that the
// tools made for it can read ours, and ReadEDN reads it back as it was. What
// every operation does decides on the form:
//
//	reads, writes, cas of single keys   {:f :cas, :value ["x" [3 4]]}, as of independent registers
//	reads and increments                {:f :add, :value ["x" 1]}, counters
//	reads and additions                 {:f :add, :value ["s" 7]}, sets
//	anything else                       {:f :txn, :value [[:r "x" [1 2]] [:append "y" 3]]}
//
// Micro-operations beyond Elle's r, w and append are cas, inc, add, del and scan;
// what has no place in [f key value] follows in a map. Each event carries :id,
// :client and the like, which Jepsen's tools ignore.
//
// A process is a number. After an operation whose outcome nobody knows, its
// client goes on as another process, as in Jepsen: the old one may still be at
// work. What an operation without an answer saw is left out.
func WriteEDN(w io.Writer, h *History) error {
	e := &ednWriter{w: bufio.NewWriterSize(w, 1<<16), form: formOf(h), process: map[string]int{}, busy: map[string]*Op{}, of: map[*Op]int{}}
	for i := range h.Ops {
		if _, known := e.process[h.Ops[i].Client]; !known {
			e.process[h.Ops[i].Client] = len(e.process)
		}
	}
	e.clients = len(e.process)
	e.all(h)
	if e.err == nil {
		e.err = e.w.Flush()
	}
	if e.err != nil {
		return fmt.Errorf("writing the history: %w", e.err)
	}
	return nil
}

// ednForm is how the operations of one history are written.
type ednForm uint8

const (
	asTransactions ednForm = iota
	asRegisters
	asCounters
	asSets
)

// formOf finds the plainest form that holds every operation of the history.
func formOf(h *History) ednForm {
	for _, form := range [...]ednForm{asRegisters, asCounters, asSets} {
		if !slices.ContainsFunc(h.Ops, func(op Op) bool { return !form.holds(&op) }) {
			return form
		}
	}
	return asTransactions
}

// holds reports whether an operation can be written in a plain form and read back.
func (form ednForm) holds(op *Op) bool {
	if len(op.Actions) != 1 {
		return false
	}
	a := &op.Actions[0]
	number := func(v Value) bool { return v.kind == IntKind || v.kind == Absent }
	switch {
	case a.F == Read && op.Outcome != OK:
		return a.Arg.IsNone() && a.Expect.IsNone() && a.Result.IsNone()
	case a.F == Read && form == asSets:
		return a.Arg.IsNone() && a.Expect.IsNone() && a.Result.kind == ListKind
	case a.F == Read:
		return a.Arg.IsNone() && a.Expect.IsNone() && number(a.Result)
	case a.F == CAS && form == asRegisters:
		return number(a.Arg) && number(a.Expect)
	case a.F == Write && form == asRegisters:
		return number(a.Arg) && a.Expect.IsNone()
	case a.F == Increment && form == asCounters, a.F == Add && form == asSets:
		return a.Arg.kind == IntKind && a.Expect.IsNone()
	}
	return false
}

// ednWriter writes the events of one history.
type ednWriter struct {
	w       *bufio.Writer
	buf     []byte
	form    ednForm
	index   int
	clients int
	process map[string]int // of each client, at present
	busy    map[string]*Op // what a client has open
	of      map[*Op]int    // the process that invoked an open operation
	err     error
}

// moment is one event, before it is written.
type moment struct {
	at   int64
	ends bool
	op   *Op
}

// all writes the events in the order of time. At one moment invocations come
// before answers, because intervals are closed, save those of clients that must
// first get the answer to what they had asked before.
func (e *ednWriter) all(h *History) {
	var ms []moment
	for i := range h.Ops {
		op := &h.Ops[i]
		ms = append(ms, moment{op.Call, false, op})
		if op.Return != Never {
			ms = append(ms, moment{op.Return, true, op})
		}
	}
	slices.SortStableFunc(ms, func(a, b moment) int {
		switch c := cmp.Compare(a.at, b.at); {
		case c != 0:
			return c
		case a.ends != b.ends && b.ends:
			return -1
		case a.ends != b.ends:
			return 1
		}
		return cmp.Compare(a.op.ID, b.op.ID)
	})
	for i := 0; i < len(ms) && e.err == nil; {
		j := i
		for j < len(ms) && ms[j].at == ms[i].at {
			j++
		}
		for now := ms[i:j]; len(now) > 0; {
			rest := now[:0:0]
			for _, m := range now {
				if e.ready(m) {
					e.event(m)
				} else {
					rest = append(rest, m)
				}
			}
			if len(rest) == len(now) {
				// A client that does two things at once is no client; the second goes on
				// as another process.
				e.leave(rest[0].op.Client)
			}
			now = rest
		}
		i = j
	}
}

// ready reports whether an event may come now.
func (e *ednWriter) ready(m moment) bool {
	if m.ends {
		_, begun := e.of[m.op]
		return begun
	}
	return e.busy[m.op.Client] == nil
}

// leave lets a client go on as another process.
func (e *ednWriter) leave(client string) {
	e.process[client] += e.clients
	delete(e.busy, client)
}

// event writes one event.
func (e *ednWriter) event(m moment) {
	op := m.op
	if !m.ends {
		e.of[op] = e.process[op.Client]
		e.busy[op.Client] = op
	}
	typ := "invoke"
	if m.ends {
		typ = op.Outcome.String()
	}
	b := append(e.buf[:0], "{:type :"...)
	b = append(b, typ...)
	f, value := e.value(op, m.ends)
	b = append(append(b, ", :f :"...), f...)
	b = append(append(b, ", :value "...), value...)
	b = strconv.AppendInt(append(b, ", :process "...), int64(e.of[op]), 10)
	b = strconv.AppendInt(append(b, ", :time "...), m.at, 10)
	b = strconv.AppendInt(append(b, ", :index "...), int64(e.index), 10)
	b = strconv.AppendInt(append(b, ", :id "...), int64(op.ID), 10)
	if m.ends {
		b = e.outcome(b, op)
	} else {
		b = appendEDNString(append(b, ", :client "...), op.Client)
		if op.Gateway != "" {
			b = appendEDNString(append(b, ", :node "...), op.Gateway)
		}
		if op.Stale {
			b = append(b, ", :stale true"...)
		}
	}
	e.buf = append(b, "}\n"...)
	e.index++
	_, e.err = e.w.Write(e.buf)
	if !m.ends {
		return
	}
	if e.busy[op.Client] == op {
		delete(e.busy, op.Client)
		if op.Outcome == Info {
			e.leave(op.Client)
		}
	}
	delete(e.of, op)
}

// outcome appends what only an answer says.
func (e *ednWriter) outcome(b []byte, op *Op) []byte {
	if op.Err != "" {
		b = appendEDNString(append(b, ", :error "...), op.Err)
	}
	if !op.TS.IsZero() {
		b = appendEDNString(append(b, ", :ts "...), op.TS.String())
	}
	if e.form != asTransactions && op.Actions[0].F != Read && !op.Actions[0].Result.IsNone() {
		b = appendEDN(append(b, ", :result "...), op.Actions[0].Result)
	}
	return b
}

// value is the :f and the :value of an event.
func (e *ednWriter) value(op *Op, ends bool) (f string, b []byte) {
	if e.form == asTransactions {
		b = append(b, '[')
		for i := range op.Actions {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendMicro(b, &op.Actions[i], ends)
		}
		return "txn", append(b, ']')
	}
	a := &op.Actions[0]
	b = append(appendEDNString(append(b, '['), a.Key), ' ')
	switch a.F {
	case Read:
		f = "read"
		if ends && !a.Result.IsNone() {
			b = appendEDN(b, a.Result)
		} else {
			b = append(b, "nil"...)
		}
	case CAS:
		f = "cas"
		b = append(appendEDN(append(b, '['), a.Expect), ' ')
		b = append(appendEDN(b, a.Arg), ']')
	case Write:
		f = "write"
		b = appendEDN(b, a.Arg)
	default:
		f = "add"
		b = appendEDN(b, a.Arg)
	}
	return f, append(b, ']')
}

// appendMicro appends one micro-operation: [f key value], and a map with what has
// no place in those.
func appendMicro(b []byte, a *Action, ends bool) []byte {
	b = append(append(b, "[:"...), a.F.String()...)
	b = append(appendEDNString(append(b, ' '), a.Key), ' ')
	rest := [...]Value{a.Arg, a.Expect, a.Result}
	switch a.F {
	case Read, Scan:
		rest[2] = Value{}
		if ends {
			b = appendEDN(b, a.Result)
		} else {
			b = append(b, "nil"...)
		}
	case CAS:
		rest[0], rest[1] = Value{}, Value{}
		b = append(appendEDN(append(b, '['), a.Expect), ' ')
		b = append(appendEDN(b, a.Arg), ']')
	case Delete:
		b = append(b, "nil"...)
	default:
		rest[0] = Value{}
		b = appendEDN(b, a.Arg)
	}
	if !ends {
		rest[2] = Value{}
	}
	sep := " {:"
	for i, v := range rest {
		if !v.IsNone() {
			b = append(append(append(b, sep...), valueNames[i]...), ' ')
			b = appendEDN(b, v)
			sep = ", :"
		}
	}
	if sep == ", :" {
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendEDN appends a value: nil for an absent key, :unknown for what was not
// recorded, a number, a vector of numbers, or {:rows [["k" v] …]}.
func appendEDN(b []byte, v Value) []byte {
	switch v.kind {
	case None:
		return append(b, ":"+noneWord...)
	case Absent:
		return append(b, "nil"...)
	case IntKind:
		return strconv.AppendInt(b, v.n, 10)
	case ListKind:
		b = append(b, '[')
		for i, n := range v.List() {
			if i > 0 {
				b = append(b, ' ')
			}
			b = strconv.AppendInt(b, n, 10)
		}
		return append(b, ']')
	}
	b = append(b, "{:rows ["...)
	for i, r := range v.Rows() {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(appendEDNString(append(b, '['), r.Key), ' ')
		b = append(appendEDN(b, r.Value), ']')
	}
	return append(b, "]}"...)
}

// appendEDNString quotes a string. EDN has few escapes, and other characters
// stand for themselves; bytes that are not UTF-8 are replaced.
func appendEDNString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, `\n`...)
		case '\t':
			b = append(b, `\t`...)
		case '\r':
			b = append(b, `\r`...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
