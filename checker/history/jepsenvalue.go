package history

import (
	"errors"
	"fmt"
	"strconv"
)

// Shape says what the values of a Jepsen history mean, which the history itself
// does not: [1 2] is what a set held, or the value 2 of register 1.
type Shape uint8

const (
	// Registers: :read v, :write v, :cas [from to]. With several registers (what
	// Jepsen calls independent keys), each value is [key value].
	Registers Shape = iota
	// Transactions: the value is a vector of micro-operations [:r k v], [:w k v],
	// [:append k v], whatever :f is. These are understood in every shape, together
	// with those that WriteEDN adds: :cas, :inc, :add, :del, :scan. An operation on
	// one key may also be written as of a register.
	Transactions
	// Accounts: :read {account balance, …}, a scan of all; :transfer {:from a, :to
	// b, :amount n}, two increments.
	Accounts
	// Sets: :add element, :read [element …].
	Sets
	// Counters: :add n (also :increment, :decrement), :read n.
	Counters
)

// The keys of histories whose values name none. An etcd log's is EtcdKey, which
// is that of registers as well.
const (
	SetKey     = "set"
	CounterKey = "counter"
)

// noneWord is how WriteEDN writes None where nil would mean Absent.
const noneWord = "unknown"

// valueNames are those of an action's values: in JSONL, and in the map at the end
// of a micro-operation.
var valueNames = [...]string{"arg", "expect", "result"}

// microF are the names of micro-operations.
func microF(name string) (F, bool) {
	f, err := ParseF(name)
	return f, err == nil
}

// actions reads the value of an event. done tells an answer, where nil is the
// absence of a value, from an invocation, where it is not known yet.
func (j *jepsen) actions(d *dict, done bool) ([]Action, error) {
	v, _ := d.get("value")
	named, _ := d.get("f")
	f := wordOf(named)
	if micro(v) || f == "txn" || f == "" {
		return j.micros(v, done)
	}
	var a Action
	var err error
	switch f {
	case "read", "r", "get":
		return j.read(v, done)
	case "transfer":
		return j.transfer(v)
	case "write", "w", "put":
		a, err = j.keyed(Write, v)
	case "append":
		a, err = j.keyed(Append, v)
	case "cas":
		a, err = j.cas(v)
	case "add", "inc", "increment", "decrement":
		a, err = j.add(f, v)
	case "delete", "del":
		a, err = j.keyed(Delete, v)
		a.Arg = Value{}
	default:
		return nil, fmt.Errorf(":f is %s, which no model here knows; they know read, write, cas, add, transfer and txn", clip(named))
	}
	if r, ok := d.get("result"); ok && err == nil {
		a.Result, err = valueOf(r)
	}
	return []Action{a}, err
}

// micro reports whether a value is a vector of micro-operations.
func micro(v any) bool {
	list, ok := v.([]any)
	if !ok || len(list) == 0 {
		return false
	}
	for _, m := range list {
		parts, ok := m.([]any)
		if !ok || len(parts) < 2 {
			return false
		}
		if _, ok := microF(wordOf(parts[0])); !ok {
			return false
		}
	}
	return true
}

func (j *jepsen) micros(v any, done bool) ([]Action, error) {
	list, ok := v.([]any)
	if !ok && v != nil {
		return nil, fmt.Errorf(":value is %s; that of a transaction is a vector of steps such as [[:r 8 nil] [:append 9 1]]", clip(v))
	}
	var out []Action
	for _, m := range list {
		a, err := j.micro(m, done)
		if err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// micro reads one micro-operation: [f key value], and behind it a map with what
// has no place in those.
func (j *jepsen) micro(m any, done bool) (a Action, err error) {
	parts, ok := m.([]any)
	if !ok || len(parts) < 2 || len(parts) > 4 {
		return a, fmt.Errorf("a step is %s; it is [:r key value], [:w key value] or [:append key element]", clip(m))
	}
	if a.F, ok = microF(wordOf(parts[0])); !ok {
		return a, fmt.Errorf("a step does %s; use :r, :w or :append", clip(parts[0]))
	}
	if a.Key, err = j.key(parts[1]); err != nil {
		return a, err
	}
	var main any = word(noneWord)
	if len(parts) > 2 {
		main = parts[2]
	}
	switch a.F {
	case Read, Scan:
		if done {
			a.Result, err = valueOf(main)
		}
	case CAS:
		pair, ok := main.([]any)
		if !ok || len(pair) != 2 {
			return a, fmt.Errorf("a cas has the value %s; it is [from to]", clip(main))
		}
		if a.Expect, err = valueOf(pair[0]); err == nil {
			a.Arg, err = valueOf(pair[1])
		}
	case Delete: // what is left behind is nothing
	default:
		a.Arg, err = valueOf(main)
	}
	if len(parts) < 4 || err != nil {
		return a, err
	}
	more, ok := parts[3].(*dict)
	if !ok {
		return a, fmt.Errorf("a step ends with %s; behind the value there is at most a map with :arg, :expect or :result", clip(parts[3]))
	}
	for i, to := range [...]*Value{&a.Arg, &a.Expect, &a.Result} {
		if x, ok := more.get(valueNames[i]); ok && err == nil {
			*to, err = valueOf(x)
		}
	}
	return a, err
}

// read is a read in the shape of the history.
func (j *jepsen) read(v any, done bool) ([]Action, error) {
	a := Action{F: Read, Key: EtcdKey}
	if d, ok := v.(*dict); ok || j.shape == Accounts {
		a.F, a.Key = Scan, ""
		if v != nil && !ok {
			return nil, fmt.Errorf("a read found %s; that of a bank is a map of accounts to balances", clip(v))
		}
		if !done || d == nil {
			return []Action{a}, nil
		}
		rows, err := j.rows(d)
		a.Result = Rows(rows...)
		return []Action{a}, err
	}
	switch j.shape {
	case Sets:
		a.Key = SetKey
	case Counters:
		a.Key = CounterKey
	}
	var err error
	if pair, ok := v.([]any); ok && j.pairOf(pair) {
		if a.Key, err = j.key(pair[0]); err != nil {
			return nil, err
		}
		v = pair[1]
	}
	if done {
		if a.Result, err = valueOf(v); err != nil {
			return nil, err
		}
		if j.shape == Sets && a.Result.IsAbsent() {
			a.Result = List()
		}
	}
	return []Action{a}, nil
}

// pairOf reports whether what a read shows is [key value] and not a value: two
// elements are a set, unless the second is itself a set.
func (j *jepsen) pairOf(v []any) bool {
	if len(v) != 2 {
		return false
	}
	_, list := v[1].([]any)
	_, named := v[0].(int64)
	return j.shape != Sets || list || !named
}

// rows are the accounts of a bank with their balances.
func (j *jepsen) rows(d *dict) ([]Row, error) {
	var rows []Row
	for i := range d.keys {
		k, err := j.key(d.keys[i])
		if err != nil {
			return nil, err
		}
		v, err := valueOf(d.vals[i])
		if err != nil {
			return nil, fmt.Errorf("account %s: %w", k, err)
		}
		rows = append(rows, Row{Key: k, Value: v})
	}
	return rows, nil
}

func (j *jepsen) transfer(v any) ([]Action, error) {
	d, ok := v.(*dict)
	if !ok {
		return nil, fmt.Errorf("a transfer has the value %s; it is {:from a, :to b, :amount n}", clip(v))
	}
	from, ok1 := d.get("from")
	to, ok2 := d.get("to")
	amount, _ := d.get("amount")
	n, ok3 := amount.(int64)
	if !ok1 || !ok2 || !ok3 {
		return nil, fmt.Errorf("a transfer is %s; it is {:from a, :to b, :amount n}", clip(v))
	}
	a, err1 := j.key(from)
	b, err2 := j.key(to)
	return []Action{{F: Increment, Key: a, Arg: Int(-n)}, {F: Increment, Key: b, Arg: Int(n)}}, errors.Join(err1, err2)
}

// keyed is a write: of a value, or of [key value].
func (j *jepsen) keyed(f F, v any) (a Action, err error) {
	a = Action{F: f, Key: EtcdKey}
	if pair, ok := v.([]any); ok && len(pair) == 2 {
		if a.Key, err = j.key(pair[0]); err != nil {
			return a, err
		}
		v = pair[1]
	}
	a.Arg, err = valueOf(v)
	return a, err
}

// cas is [from to], or [key [from to]].
func (j *jepsen) cas(v any) (a Action, err error) {
	a = Action{F: CAS, Key: EtcdKey}
	pair, ok := v.([]any)
	if ok && len(pair) == 2 {
		if inner, nested := pair[1].([]any); nested {
			if a.Key, err = j.key(pair[0]); err != nil {
				return a, err
			}
			pair = inner
		}
	}
	if !ok || len(pair) != 2 {
		return a, fmt.Errorf("a cas has the value %s; it is [from to], or [key [from to]]", clip(v))
	}
	if a.Expect, err = valueOf(pair[0]); err != nil {
		return a, err
	}
	a.Arg, err = valueOf(pair[1])
	return a, err
}

// add puts an element into a set or an amount onto a counter.
func (j *jepsen) add(f string, v any) (Action, error) {
	a, err := j.keyed(Increment, v)
	if err != nil {
		return a, err
	}
	if pair, ok := v.([]any); !ok || len(pair) != 2 {
		a.Key = CounterKey
		if j.shape == Sets {
			a.Key = SetKey
		}
	}
	if j.shape == Sets {
		a.F = Add
	}
	n, ok := a.Arg.Int()
	if !ok && (f == "increment" || f == "decrement") && a.Arg.IsAbsent() {
		n, ok = 1, true
	}
	if !ok {
		return a, fmt.Errorf(":add has the value %s; it is a whole number, or [key number]", clip(v))
	}
	if f == "decrement" {
		n = -n
	}
	a.Arg = Int(n)
	return a, nil
}

// key names a key. Different keys with one name would be judged as one.
func (j *jepsen) key(v any) (string, error) {
	var name string
	switch k := v.(type) {
	case int64:
		name = strconv.FormatInt(k, 10)
	case string:
		name = k
	case word:
		name = string(k)
	default:
		return "", fmt.Errorf("%s stands where a key should; a key is a number, a string or a keyword", clip(v))
	}
	name = j.names.of(name)
	// JSON has only strings as keys of maps, so that there 9 and "9" do meet.
	if was, ok := j.forms[name]; ok && was != v && !j.json {
		return "", fmt.Errorf("the keys %s and %s would have the same name; write all keys in one form", show(was), show(v))
	}
	j.forms[name] = v
	return name, nil
}

// valueOf reads a value: nil for an absent key, a whole number, a list of them.
func valueOf(v any) (Value, error) {
	switch v := v.(type) {
	case nil:
		return NoKey(), nil
	case int64:
		return Int(v), nil
	case []any:
		ns := make([]int64, len(v))
		for i := range v {
			n, ok := v[i].(int64)
			if !ok {
				return Value{}, fmt.Errorf("a list holds %s; lists here hold whole numbers", clip(v[i]))
			}
			ns[i] = n
		}
		return List(ns...), nil
	case word:
		if v == noneWord {
			return Value{}, nil
		}
	case *dict:
		if rows, ok := v.get("rows"); ok && len(v.keys) == 1 {
			return rowsOf(rows)
		}
	}
	return Value{}, fmt.Errorf("%s stands where a value should; a value is nil, a whole number or a list of them", clip(v))
}

// rowsOf reads the rows of a scan as WriteEDN writes them.
func rowsOf(v any) (Value, error) {
	list, _ := v.([]any)
	var rows []Row
	for _, r := range list {
		pair, ok := r.([]any)
		if !ok || len(pair) != 2 {
			return Value{}, fmt.Errorf("a row is %s; it is [\"key\" value]", clip(r))
		}
		k, ok := pair[0].(string)
		if !ok {
			return Value{}, fmt.Errorf("a row has the key %s; it is a string", clip(pair[0]))
		}
		x, err := valueOf(pair[1])
		if err != nil {
			return Value{}, err
		}
		if x.Kind() == RowsKind {
			return Value{}, errors.New("a row holds rows; it holds nil, a number or a list")
		}
		rows = append(rows, Row{Key: k, Value: x})
	}
	return Rows(rows...), nil
}
