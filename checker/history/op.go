package history

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Never is the Return of an operation that was never answered.
const Never = math.MaxInt64

// ConditionFailed is the Err of a Fail whose CAS did not find what it expected.
// Such an operation observed its key: Result says what was there, or, when it is
// None, only that it was not Expect. A Fail with another Err saw nothing.
const ConditionFailed = "condition failed"

// Undone is the Err of a Fail that stands for writes which were undone in the middle
// of another operation of its client: those of an attempt of a transaction that was
// begun anew, or after a savepoint that was rolled back to. What it wrote must never
// be seen. It is no operation by itself, and is not counted as one.
const Undone = "undone"

// Outcome is what a client knows about its operation.
type Outcome uint8

const (
	// Info: nobody knows whether it happened, or when. The zero Outcome, so that
	// an operation nobody completed is honest by default.
	Info Outcome = iota
	// OK: it happened, between Call and Return.
	OK
	// Fail: it certainly did not take effect, and never will.
	Fail
)

var outcomeNames = [...]string{Info: "info", OK: "ok", Fail: "fail"}

// String is the name used in files: info, ok, fail.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "outcome(" + strconv.Itoa(int(o)) + ")"
}

// ParseOutcome is the inverse of String.
func ParseOutcome(s string) (Outcome, error) {
	for i, n := range outcomeNames {
		if n == s {
			return Outcome(i), nil
		}
	}
	return Info, fmt.Errorf("outcome %q is unknown; use ok, fail or info", s)
}

// F is what an action does to its key.
type F uint8

const (
	// Read sees the value: Result is an int, a list or Absent.
	Read F = iota + 1
	// Write sets the value to Arg.
	Write
	// CAS sets the value to Arg if it is Expect (which may be Absent). When the
	// condition did not hold the operation is Fail with Err ConditionFailed, and
	// Result is the value found, if the database said.
	CAS
	// Increment adds Arg to the integer at the key (absent counts as 0); Result
	// is the sum.
	Increment
	// Add puts the element Arg into the set Key.
	Add
	// Delete removes the key.
	Delete
	// Scan reads the keys from Key on; Result holds the rows found. Which keys it
	// covered is in Arg, when that is Rows: their values are ignored. Otherwise
	// it covered the whole universe of its workload.
	Scan
	// Append puts Arg at the end of the list at Key.
	Append
)

var fNames = [...]string{Read: "r", Write: "w", CAS: "cas", Increment: "inc", Add: "add", Delete: "del", Scan: "scan", Append: "append"}

// String is the short name used in files: r, w, cas, inc, add, del, scan, append.
func (f F) String() string {
	if f > 0 && int(f) < len(fNames) {
		return fNames[f]
	}
	return "f(" + strconv.Itoa(int(f)) + ")"
}

// ParseF is the inverse of String.
func ParseF(s string) (F, error) {
	for i, n := range fNames {
		if i > 0 && n == s {
			return F(i), nil
		}
	}
	return 0, fmt.Errorf("action %q is unknown; use one of %s", s, strings.Join(fNames[1:], " "))
}

// Writes reports whether an action of this kind can change its key.
func (f F) Writes() bool { return f != Read && f != Scan }

// Timestamp is the moment at which the database says an operation executed:
// nanoseconds of its own clock, and a logical tie-break. The zero Timestamp
// means that it did not say. It mirrors the hybrid logical clock of the database
// without knowing it.
type Timestamp struct {
	Wall    int64
	Logical int32
}

// IsZero reports whether no timestamp was given.
func (t Timestamp) IsZero() bool { return t == Timestamp{} }

// Compare orders timestamps: negative when t is earlier than u.
func (t Timestamp) Compare(u Timestamp) int {
	switch {
	case t.Wall < u.Wall, t.Wall == u.Wall && t.Logical < u.Logical:
		return -1
	case t == u:
		return 0
	}
	return 1
}

// String prints wall nanoseconds and the logical part: "1700000000000000000,3".
func (t Timestamp) String() string {
	return strconv.FormatInt(t.Wall, 10) + "," + strconv.FormatInt(int64(t.Logical), 10)
}

// ParseTimestamp is the inverse of String.
func ParseTimestamp(s string) (Timestamp, error) {
	w, l, ok := strings.Cut(s, ",")
	wall, err1 := strconv.ParseInt(w, 10, 64)
	logical, err2 := strconv.ParseInt(l, 10, 32)
	if !ok || err1 != nil || err2 != nil {
		return Timestamp{}, fmt.Errorf("timestamp %q is not of the form wall,logical with two integers", s)
	}
	return Timestamp{Wall: wall, Logical: int32(logical)}, nil
}

// Action is one step of an operation on one key. An operation with several is
// atomic: all happen at one moment.
type Action struct {
	F   F
	Key string
	// Arg is what was written, added or appended.
	Arg Value
	// Expect is the condition of a CAS.
	Expect Value
	// Result is what the action saw. None when it saw nothing or nobody knows.
	Result Value
}

// String prints an action for people: "r x = 3", "w x 4", "cas x 3 → 4".
func (a Action) String() string {
	var b strings.Builder
	b.WriteString(a.F.String())
	b.WriteByte(' ')
	b.WriteString(a.Key)
	switch a.F {
	case CAS:
		b.WriteString(" " + a.Expect.String() + " → " + a.Arg.String())
	case Write, Add, Increment, Append:
		b.WriteString(" " + a.Arg.String())
	}
	if !a.Result.IsNone() {
		b.WriteString(" = " + a.Result.String())
	}
	return b.String()
}

// Op is one operation of one client, from call to answer.
type Op struct {
	// ID counts from 0 in order of invocation. It names the operation in verdicts.
	ID int
	// Client is one at a time: a client's operations do not overlap.
	Client string
	// Gateway is the node that was asked, empty when none applies.
	Gateway string
	// Call and Return are true virtual nanoseconds since the run began. Return is
	// Never without an answer. An Info operation may have a Return (the moment
	// at which the client gave up), which bounds nothing.
	Call, Return int64
	Outcome      Outcome
	// Stale: the client asked for the past, at TS. Such an operation only reads,
	// and owes nothing to real time.
	Stale bool
	// Err is what the client was told, empty for OK.
	Err string
	// TS is when the database says the operation executed.
	TS      Timestamp
	Actions []Action
}

// End is the moment after which the operation certainly has happened: Return
// when OK, Never when Info. It means nothing for a Fail.
func (o *Op) End() int64 {
	if o.Outcome == OK {
		return o.Return
	}
	return Never
}

// String prints an operation on one line, for explanations.
func (o *Op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "op %d of %s", o.ID, o.Client)
	if o.Gateway != "" {
		b.WriteString(" at " + o.Gateway)
	}
	b.WriteString(" [" + Clock(o.Call) + " … " + Clock(o.Return) + "] ")
	b.WriteString(o.Outcome.String())
	if o.Stale {
		b.WriteString(" stale")
	}
	for i, a := range o.Actions {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteString(" " + a.String())
	}
	if !o.TS.IsZero() {
		b.WriteString(" @" + o.TS.String())
	}
	if o.Err != "" {
		b.WriteString(" (" + o.Err + ")")
	}
	return b.String()
}

// Clock prints a virtual time the way the simulator does: "T+1.234567s", "never".
func Clock(ns int64) string {
	if ns == Never {
		return "never"
	}
	sign := ""
	u := uint64(ns)
	if ns < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("T+%s%d.%06ds", sign, u/1e9, u%1e9/1e3)
}
