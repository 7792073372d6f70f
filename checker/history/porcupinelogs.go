package history

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
)

// The two formats in which the test data of github.com/anishathalye/porcupine
// is kept. Neither has times: the line number serves, a microsecond each, which
// keeps the order of calls and answers and is all that linearizability asks for.

var (
	etcdLine = regexp.MustCompile(`^INFO\s+jepsen\.util\s+-\s+(\d+)\s+:(invoke|ok|fail|info)\s+:(read|write|cas)\s+(.*)$`)
	etcdCAS  = regexp.MustCompile(`^\[(\d+)\s+(\d+)\]$`)
	kvLine   = regexp.MustCompile(`^\{:process (\d+), :type :(invoke|ok|fail|info), :f :(get|put|append), :key "([^"]*)", :value (nil|"([^"]*)")\}$`)
	kvToken  = regexp.MustCompile(`^x (\d+) (\d+) y`)
)

// EtcdKey is the one key of every etcd history.
const EtcdKey = "register"

// ReadEtcdLog reads a Jepsen log of a single register in etcd: reads, writes and
// compare-and-set. A read that timed out is Fail: it cannot have had an effect
// and saw nothing.
func ReadEtcdLog(r io.Reader) (*History, error) {
	p := newPairer()
	return p.read(r, func(line string) error {
		m := etcdLine.FindStringSubmatch(line)
		if m == nil {
			return errors.New("is not `INFO jepsen.util - <process> :<type> :<f> <value>` of an etcd log")
		}
		a := Action{Key: EtcdKey}
		switch m[3] {
		case "read":
			a.F = Read
			if m[2] == "ok" {
				v, err := etcdValue(m[4])
				if err != nil {
					return err
				}
				a.Result = v
			}
		case "write":
			a.F = Write
			if m[2] == "invoke" || m[2] == "ok" {
				v, err := etcdValue(m[4])
				if err != nil {
					return err
				}
				a.Arg = v
			}
		case "cas":
			a.F = CAS
			if c := etcdCAS.FindStringSubmatch(m[4]); c != nil {
				from, err1 := etcdValue(c[1])
				to, err2 := etcdValue(c[2])
				if err := errors.Join(err1, err2); err != nil {
					return err
				}
				a.Expect, a.Arg = from, to
			} else if m[2] == "invoke" {
				return fmt.Errorf("has a cas of %q; it is [from to]", m[4])
			}
		}
		return p.event(m[1], m[2], a)
	})
}

func etcdValue(s string) (Value, error) {
	if s == "nil" {
		return NoKey(), nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return Value{}, fmt.Errorf("has value %q; it is nil or an integer", s)
	}
	return Int(n), nil
}

// ReadKVLog reads a history of a key-value store with get, put and append, whose
// values are strings of tokens "x <client> <number> y". Each becomes a list of
// integers, one a token: client·1,000,000 + number. The missing key and the
// empty string are the same in these histories: the empty list.
func ReadKVLog(r io.Reader) (*History, error) {
	p := newPairer()
	return p.read(r, func(line string) error {
		m := kvLine.FindStringSubmatch(line)
		if m == nil {
			return errors.New("is not `{:process n, :type :t, :f :get, :key \"k\", :value v}` of a kv history")
		}
		a := Action{Key: m[4]}
		var v Value
		if m[5] != "nil" {
			tokens, err := kvTokens(m[6])
			if err != nil {
				return err
			}
			v = List(tokens...)
		}
		switch m[3] {
		case "get":
			a.F, a.Result = Read, v
			if m[2] == "ok" && v.IsNone() {
				a.Result = List()
			}
		case "put":
			a.F, a.Arg = Write, v
		case "append":
			a.F, a.Arg = Append, v
		}
		return p.event(m[1], m[2], a)
	})
}

// kvTokens splits a value into its tokens, as numbers.
func kvTokens(s string) ([]int64, error) {
	var out []int64
	for s != "" {
		t := kvToken.FindStringSubmatch(s)
		if t == nil {
			return nil, fmt.Errorf("has a value that goes on with %.20q; it is a row of tokens `x <client> <number> y`", s)
		}
		client, err1 := strconv.ParseInt(t[1], 10, 32)
		number, err2 := strconv.ParseInt(t[2], 10, 32)
		if err1 != nil || err2 != nil || number >= 1_000_000 {
			return nil, fmt.Errorf("has the token %q, whose numbers are too large", t[0])
		}
		out = append(out, client*1_000_000+number)
		s = s[len(t[0]):]
	}
	return out, nil
}

// pairer joins the invocation and completion lines of each process.
type pairer struct {
	h    *History
	open map[string]int // process → index of its open operation
	now  int64          // line number
}

func newPairer() *pairer { return &pairer{h: &History{}, open: map[string]int{}} }

func (p *pairer) read(r io.Reader, each func(line string) error) (*History, error) {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 1<<16), maxLine)
	for s.Scan() {
		p.now++
		if s.Text() == "" {
			continue
		}
		if err := each(s.Text()); err != nil {
			return nil, fmt.Errorf("line %d %w", p.now, err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", p.now+1, err)
	}
	return p.h, nil
}

// event takes one line. The answer carries the result; the call carried the
// arguments.
func (p *pairer) event(process, typ string, a Action) error {
	i, busy := p.open[process]
	if typ == "invoke" {
		if busy {
			return fmt.Errorf("invokes for process %s, whose operation %d is still open; a process does one thing at a time", process, i)
		}
		p.open[process] = len(p.h.Ops)
		p.h.Ops = append(p.h.Ops, Op{ID: len(p.h.Ops), Client: "p" + process, Call: p.now * perPlace, Return: Never, Actions: []Action{a}})
		return nil
	}
	if !busy {
		return fmt.Errorf("answers process %s, which has nothing open", process)
	}
	delete(p.open, process)
	op := &p.h.Ops[i]
	was := &op.Actions[0]
	if was.F != a.F || was.Key != a.Key {
		return fmt.Errorf("answers %s to operation %d, which was %s", a.F, i, was.F)
	}
	was.Result = a.Result
	op.Return = p.now * perPlace
	switch {
	case typ == "ok":
		op.Outcome = OK
	case typ == "fail" && a.F == CAS:
		op.Outcome, op.Err = Fail, ConditionFailed
	case typ == "fail", a.F == Read:
		op.Outcome, op.Err = Fail, typ
	default:
		op.Outcome, op.Err = Info, "timed out"
	}
	return nil
}
