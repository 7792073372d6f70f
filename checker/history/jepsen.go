package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// ReadEDN reads a history as Jepsen keeps it: events in EDN, one map each, either
// in one vector or one after another.
//
//	{:type :invoke, :f :cas, :value [3 4], :process 7, :time 1026, :index 5}
//	{:type :ok,     :f :cas, :value [3 4], :process 7, :time 9040, :index 6}
//
// Two events of one process make an operation. A process whose event has no
// number (:nemesis) is no client, and its events are left out; where no event
// names a process, there is one. The shape says what values mean.
//
// Histories may be partial. An operation that nobody answered stays open. An
// answer without an invocation stands for an operation that began when its
// process had ended the one before, or at the beginning. A failed operation saw
// nothing, unless its :error says "condition failed": in Jepsen's histories a
// cas also fails for other reasons.
//
// Times are those of :time (nanoseconds) when every event has one, and otherwise
// the places of the events in the file, a microsecond each. The file's order
// counts: where the clock did not move between an answer and the invocation that
// follows, the invocation gets the next nanosecond. Histories of WriteEDN say :id in each event; their
// times, ids, clients and gateways are read exactly as they were written.
func ReadEDN(r io.Reader, shape Shape) (*History, error) { return readJepsen(r, shape, false) }

// ReadJepsenJSON reads the same events as ReadEDN, as JSON objects: keywords are
// strings, with or without a colon, and the keys of maps are strings.
func ReadJepsenJSON(r io.Reader, shape Shape) (*History, error) {
	return readJepsen(r, shape, true)
}

func readJepsen(r io.Reader, shape Shape, asJSON bool) (*History, error) {
	parse := newEDNParser().parse
	if asJSON {
		parse = parseJSON
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	j := &jepsen{
		shape: shape, json: asJSON, names: interner{}, forms: map[string]any{},
		lines: map[int]int{}, open: map[string]int{}, ended: map[string]int64{}, timed: true, ours: true,
	}
	f := newForms(text)
	for {
		form, line, err := f.next()
		if err != nil {
			return nil, fmt.Errorf("history %w", err)
		}
		if form == nil {
			break
		}
		d, err := parse(form)
		if err == nil {
			err = j.event(d, line)
		}
		if err != nil {
			return nil, fmt.Errorf("history line %d: %w, in %s", line, err, brief(form))
		}
	}
	return j.finish()
}

// jepsen pairs the events of a history. Until the end, times are places: the
// number of the event among those of clients.
type jepsen struct {
	shape Shape
	json  bool
	names interner
	// forms are the keys as the file has them, by name: 9 and "9" may not meet.
	forms map[string]any
	ops   []Op
	lines map[int]int      // of invocations, by operation
	open  map[string]int   // process → its open operation
	ended map[string]int64 // process → the place where its last operation ended
	times []int64          // by place
	asks  []bool           // by place: is it an invocation
	timed bool             // every event so far has a time
	ours  bool             // every event so far has an id
}

// event takes one event.
func (j *jepsen) event(d *dict, line int) error {
	kind, _ := d.get("type")
	typ := wordOf(kind)
	switch typ {
	case "invoke", "ok", "fail", "info":
	default:
		return fmt.Errorf(":type is %s; it is :invoke, :ok, :fail or :info", clip(kind))
	}
	process, client, err := processOf(d, typ)
	if err != nil || !client {
		return err
	}
	if err := j.clock(d, typ); err != nil {
		return err
	}
	place := int64(len(j.times) - 1)
	i, busy := j.open[process]
	if typ == "invoke" {
		if busy {
			return fmt.Errorf("process %s invokes, and its operation of line %d is still open; a process does one thing at a time (an :info event ends what was never answered)", process, j.lines[i])
		}
		return j.invoke(d, process, place, line)
	}
	if !busy {
		if typ != "ok" {
			return nil // nobody knows what it was, and it answers nothing
		}
		if i, err = j.orphan(d, process, line); err != nil {
			return err
		}
	}
	delete(j.open, process)
	j.ended[process] = place
	return j.answer(&j.ops[i], d, typ, place)
}

// processOf names the process of an event, and tells whether it is a client.
func processOf(d *dict, typ string) (string, bool, error) {
	v, ok := d.get("process")
	if !ok {
		return "0", true, nil
	}
	if n, ok := v.(int64); ok {
		return strconv.FormatInt(n, 10), true, nil
	}
	name := wordOf(v)
	if _, err := strconv.ParseInt(name, 10, 64); err == nil {
		return name, true, nil
	}
	if typ != "info" && name != "nemesis" {
		return "", false, fmt.Errorf(":process is %s; a client is a number, and what is none (as :nemesis) has only :info events", clip(v))
	}
	return "", false, nil
}

// clock notes the time of an event.
func (j *jepsen) clock(d *dict, typ string) error {
	v, given := d.get("time")
	t, ok := v.(int64)
	if given && v != nil && (!ok || t < -maxTime || t > maxTime) {
		return fmt.Errorf(":time is %s; it is a whole number of nanoseconds", clip(v))
	}
	j.timed = j.timed && ok
	_, ours := d.get("id")
	j.ours = j.ours && ours
	j.times, j.asks = append(j.times, t), append(j.asks, typ == "invoke")
	return nil
}

// maxTime keeps sums of times within 64 bits: 146 years.
const maxTime = 1 << 62

// perPlace is how long a place in a file without times lasts: what Clock shows.
const perPlace = 1000

func (j *jepsen) invoke(d *dict, process string, place int64, line int) error {
	op := Op{ID: len(j.ops), Client: j.names.of("p" + process), Call: place, Return: Never}
	if err := j.ownFields(&op, d); err != nil {
		return err
	}
	var err error
	if op.Actions, err = j.actions(d, false); err != nil {
		return err
	}
	j.open[process] = len(j.ops)
	j.lines[len(j.ops)] = line
	j.ops = append(j.ops, op)
	return nil
}

// orphan makes the operation of an answer whose invocation the file lacks.
func (j *jepsen) orphan(d *dict, process string, line int) (int, error) {
	begin := int64(0)
	if end, ok := j.ended[process]; ok {
		begin = end + 1 // it is a place of some event, at the latest the answer's own
	}
	err := j.invoke(d, process, begin, line)
	return len(j.ops) - 1, err
}

// answer completes an operation.
func (j *jepsen) answer(op *Op, d *dict, typ string, place int64) error {
	_, ours := d.get("id")
	if _, has := d.get("value"); has && (typ == "ok" || ours) {
		told, err := j.actions(d, true)
		if err != nil {
			return err
		}
		if err := sameActions(op.Actions, told); err != nil {
			return err
		}
		if f, _ := d.get("f"); typ != "ok" && wordOf(f) == "read" {
			told = asked(told) // nil is here what was not read, as in an invocation
		}
		op.Actions = told
	} else if typ == "ok" {
		for _, a := range op.Actions {
			if !a.F.Writes() {
				return errors.New("a read is :ok and has no :value; it says what was read, nil for nothing")
			}
		}
	}
	op.Return = place
	switch typ {
	case "ok":
		op.Outcome = OK
	case "fail":
		op.Outcome = Fail
	}
	op.Err = errorOf(d, typ)
	if s, ok := d.get("ts"); ok {
		var err error
		if op.TS, err = ParseTimestamp(wordOf(s)); err != nil {
			return err
		}
	}
	return nil
}

// asked forgets what actions saw.
func asked(as []Action) []Action {
	for i := range as {
		as[i].Result = Value{}
	}
	return as
}

// errorOf is what the client was told. An operation that did not succeed was told
// something: where the file does not say, its type serves.
func errorOf(d *dict, typ string) string {
	_, ours := d.get("id")
	e, told := d.get("error")
	text, isText := e.(string)
	switch {
	case isText:
		return text
	case told && e != nil:
		return clip(e)
	case typ == "ok" || ours:
		return ""
	}
	return typ
}

// sameActions compares what was invoked with what was answered.
func sameActions(was, told []Action) error {
	if len(was) != len(told) {
		return fmt.Errorf("the answer has %d steps, and %d were invoked", len(told), len(was))
	}
	for i := range was {
		if was[i].F != told[i].F || was[i].Key != told[i].Key {
			return fmt.Errorf("the answer's step %d is %s, and %s was invoked", i+1, told[i], was[i])
		}
	}
	return nil
}

// ownFields reads what WriteEDN adds to Jepsen's events.
func (j *jepsen) ownFields(op *Op, d *dict) error {
	if v, ok := d.get("id"); ok {
		n, isInt := v.(int64)
		if !isInt || n < 0 || n > 1<<40 {
			return fmt.Errorf(":id is %s; it counts operations from 0", clip(v))
		}
		op.ID = int(n)
	}
	if v, ok := d.get("client"); ok && j.ours {
		s, isText := v.(string)
		if !isText {
			return fmt.Errorf(":client is %s; it is a name in quotes", clip(v))
		}
		op.Client = j.names.of(s)
	}
	if v, ok := d.get("node"); ok {
		s, isText := v.(string)
		if !isText {
			s = wordOf(v)
		}
		op.Gateway = j.names.of(s)
	}
	if v, ok := d.get("stale"); ok {
		op.Stale, _ = v.(bool)
	}
	return nil
}

// finish turns places into times and puts the operations in order.
func (j *jepsen) finish() (*History, error) {
	if j.timed && !j.ours {
		settle(j.times, j.asks)
	}
	at := func(place int64) int64 {
		switch {
		case place == Never:
			return Never
		case j.timed:
			return j.times[place]
		}
		return place * perPlace
	}
	for i := range j.ops {
		op := &j.ops[i]
		op.Call, op.Return = at(op.Call), at(op.Return)
		if op.Return < op.Call {
			return nil, fmt.Errorf("history line %d: operation %d ends at %d and began at %d; events stand in the order of time", j.lines[i], op.ID, op.Return, op.Call)
		}
	}
	if j.ours {
		slices.SortStableFunc(j.ops, func(a, b Op) int { return cmp.Compare(a.ID, b.ID) })
	} else {
		slices.SortStableFunc(j.ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
		for i := range j.ops {
			j.ops[i].ID = i
		}
	}
	for i := 1; i < len(j.ops); i++ {
		if j.ops[i].ID == j.ops[i-1].ID {
			return nil, fmt.Errorf("history: two operations have the :id %d; each operation has its own", j.ops[i].ID)
		}
	}
	return &History{Ops: j.ops}, nil
}

// settle makes times rise along the file wherever an invocation follows an
// answer. Intervals are closed, so that without it two operations, of which one
// ended before the other began, would count as concurrent.
func settle(times []int64, asks []bool) {
	var now, answered int64 = -maxTime, -maxTime - 1
	for i, t := range times {
		now = max(now, t)
		if asks[i] {
			now = max(now, answered+1)
		} else {
			answered = now
		}
		times[i] = now
	}
}
