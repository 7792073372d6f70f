package kvclient

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// TestTxnDialogues runs what is written in testdata/txn: each file states its claim,
// and then shows what clients do, which batches leave the coordinator for which range,
// and what is answered. There are two gateways, the second with a clock 200 ms fast,
// and three ranges, which begin at the first key, c and f.
//
//	begin T1 [g=2] [prio=n] [wait]    begins a transaction, at the first gateway or another
//	T1 get k | lock k | scan a b | put k v | cput k v [old] | inc k | del k | delrange a b
//	T1 save s | back s | commit [k v ...] | rollback | restart
//	mishap method kind                what befalls the next batch with such a request
//	abort T1                          somebody aborts it
//	split k | run d | state           ranges, time, what the store holds
func TestTxnDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/txn", func(t *testing.T, path string) {
		var w *dialogue
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				knobs := map[string]int64{}
				for _, a := range d.CmdArgs {
					var n int
					d.ScanArgs(t, a.Key, &n)
					knobs[a.Key] = int64(n)
				}
				w = newDialogue(t, knobs)
			case "do":
				for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
					w.line(t, strings.Fields(line))
				}
				out := w.out.String()
				w.out.Reset()
				return out
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			return "ok\n"
		})
	})
}

type dialogue struct {
	*toy
	out    strings.Builder
	txns   map[string]*kv.TxnHandle
	at     map[string]*toyGateway
	saved  map[string]kv.Savepoint
	mishap [2]string // method and kind
}

func newDialogue(t *testing.T, knobs map[string]int64) *dialogue {
	w := &dialogue{toy: newToy(t, 1, []time.Duration{0, 200 * time.Millisecond}, knobs, "c", "f"),
		txns: map[string]*kv.TxnHandle{}, at: map[string]*toyGateway{}, saved: map[string]kv.Savepoint{}}
	w.toy.mishap = func(ba *kv.BatchRequest) string {
		for _, r := range ba.Requests {
			if r.Method().String() == w.mishap[0] {
				w.mishap[0] = ""
				return w.mishap[1]
			}
		}
		return ""
	}
	w.log = func(g kv.NodeID, ba *kv.BatchRequest, answer string) {
		var parts []string
		for _, r := range ba.Requests {
			s := formatRequest(r)
			if r.Seq() != 0 && r.Method().Intents() {
				s += fmt.Sprintf("#%d", r.Seq())
			}
			parts = append(parts, s)
		}
		s := strings.Join(parts, ", ")
		if ba.AsyncConsensus {
			s += " async"
		}
		if ba.Txn != nil {
			s += fmt.Sprintf(" at %s", moment(ba.Txn.ReadTS))
			if ba.Txn.ReadTS != ba.Txn.WriteTS {
				s += " writing at " + moment(ba.Txn.WriteTS)
			}
			if ba.Txn.Epoch > 0 {
				s += fmt.Sprintf(" epoch %d", ba.Txn.Epoch)
			}
		}
		fmt.Fprintf(&w.out, "  g%d>r%d %s\n        %s\n", g, ba.RangeID, s, answer)
	}
	w.run(0) // gateways learn of ranges without anything to see
	for _, g := range w.gateways {
		g.p.Go("warm", func(task env.Task) {
			for _, k := range w.names {
				tx, _ := g.db.Begin(task, kv.TxnOptions{})
				tx.Get(task, keys.Key(k))
			}
		})
	}
	w.run(50 * time.Millisecond)
	for _, k := range w.keys {
		k.read, k.reader = hlc.Timestamp{}, kv.TxnID{}
	}
	w.out.Reset()
	return w
}

// formatRequest is kv's, with times for reading.
func formatRequest(r kv.Request) string {
	switch r := r.(type) {
	case *kv.RefreshRequest:
		return fmt.Sprintf("Refresh(%s from %s)", r.Key, moment(r.RefreshFrom))
	case *kv.RefreshRangeRequest:
		return fmt.Sprintf("RefreshRange(%s from %s)", r.Span(), moment(r.RefreshFrom))
	case *kv.QueryTxnRequest:
		return "QueryTxn(" + r.Key.String() + ")"
	}
	return kv.FormatRequest(r)
}

// moment prints milliseconds since the dialogue's clocks read 1000 s, and the counter.
func moment(ts hlc.Timestamp) string {
	s := fmt.Sprintf("%dms", (ts.Wall-1e12)/1e6)
	if ts.Logical > 0 {
		s += fmt.Sprintf("+%d", ts.Logical)
	}
	return s
}

func (w *dialogue) run(d time.Duration) { w.s.RunUntil(w.s.Now() + sim.Time(d)) }

func (w *dialogue) line(t *testing.T, f []string) {
	fmt.Fprintf(&w.out, "%s\n", strings.Join(f, " "))
	switch f[0] {
	case "begin":
		w.begin(t, f[1], f[2:])
	case "mishap":
		w.mishap = [2]string{f[1], f[2]}
	case "abort":
		txn := w.txns[f[1]].Txn()
		rec := txn.Clone()
		rec.Status = kv.Aborted
		w.records[txn.ID] = rec
		w.over[txn.ID] = true
		w.resolveAll(rec)
	case "split":
		w.split(f[1])
	case "run":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			t.Fatal(err)
		}
		w.run(d)
	case "state":
		w.state()
	default:
		w.step(t, f[0], f[1], f[2:])
	}
	for _, finding := range w.s.Findings() {
		t.Fatal(finding.String())
	}
}

func (w *dialogue) begin(t *testing.T, name string, args []string) {
	g, o := w.gateways[0], kv.TxnOptions{Name: name, Priority: 5}
	for _, a := range args {
		switch {
		case a == "g=2":
			g = w.gateways[1]
		case a == "wait":
			o.CommitWait = true
		case strings.HasPrefix(a, "prio="):
			fmt.Sscanf(a, "prio=%d", &o.Priority)
		}
	}
	g.p.Go("begin", func(task env.Task) {
		tx, err := g.db.Begin(task, o)
		if err != nil {
			t.Error(err)
		}
		w.txns[name], w.at[name] = tx, g
	})
	w.run(0)
	fmt.Fprintf(&w.out, "  begins at %s\n", moment(w.txns[name].ReadTimestamp()))
}

// step runs one step of a transaction to its end, and what it leaves behind for a
// moment.
func (w *dialogue) step(t *testing.T, name, op string, args []string) {
	tx := w.txns[name]
	done := false
	w.at[name].p.Go("step", func(task env.Task) {
		result, err := w.act(t, task, tx, op, args)
		if err != nil {
			e := kv.AsError(err)
			result = "error: " + answer(kv.ErrorResponse(e))
			if e.Cause != nil {
				result += "; caused by: " + e.Cause.Kind.String()
			}
		}
		fmt.Fprintf(&w.out, "  = %s\n", result)
		done = true
	})
	for i := 0; i < 20000 && !done; i++ {
		w.run(time.Millisecond)
	}
	if !done {
		t.Fatalf("%s %s does not end", name, op)
	}
	w.run(5 * time.Millisecond)
}

//house:flat one case a step
func (w *dialogue) act(t *testing.T, task env.Task, tx *kv.TxnHandle, op string, args []string) (string, error) {
	var k keys.Key
	if len(args) > 0 {
		k = keys.Key(args[0])
	}
	switch op {
	case "get", "lock":
		lock := kv.Locking{}
		if op == "lock" {
			lock.Lock = kv.LockExclusive
		}
		v, err := tx.GetLocked(task, k, lock)
		if !v.Exists {
			return "nothing", err
		}
		return fmt.Sprintf("%q", v.Bytes), err
	case "scan":
		rows, err := tx.Scan(task, k, keys.Key(args[1]), 0)
		s := "rows"
		for _, r := range rows {
			s += fmt.Sprintf(" %s=%q", r.Key, r.Value)
		}
		return s, err
	case "put":
		return "ok", tx.Put(task, k, []byte(args[1]))
	case "cput":
		if len(args) > 2 {
			return "ok", tx.CPut(task, k, []byte(args[1]), []byte(args[2]))
		}
		return "ok", tx.CPutAbsent(task, k, []byte(args[1]))
	case "inc":
		n, err := tx.Inc(task, k, 1)
		return fmt.Sprint(n), err
	case "del":
		existed, err := tx.Del(task, k)
		return fmt.Sprintf("existed %t", existed), err
	case "delrange":
		n, err := tx.DelRange(task, k, keys.Key(args[1]))
		return fmt.Sprintf("%d deleted", n), err
	case "save":
		s, err := tx.Savepoint(task)
		w.saved[args[0]] = s
		return "ok", err
	case "back":
		return "ok", tx.RollbackTo(task, w.saved[args[0]])
	case "commit":
		var last []kv.Request
		for i := 0; i+1 < len(args); i += 2 {
			last = append(last, &kv.PutRequest{Key: keys.Key(args[i]), Value: []byte(args[i+1])})
		}
		before := w.s.Now()
		if _, err := tx.CommitWith(task, kv.Header{}, last...); err != nil {
			return "", err
		}
		return fmt.Sprintf("committed at %s, after %s", moment(tx.CommitTimestamp()), time.Duration(w.s.Now()-before).Round(time.Millisecond)), nil
	case "rollback":
		tx.Rollback(task)
		return "ok", nil
	case "restart":
		if err := tx.Restart(task); err != nil {
			return "", err
		}
		return fmt.Sprintf("epoch %d at %s", tx.Txn().Epoch, moment(tx.ReadTimestamp())), nil
	}
	t.Fatalf("unknown step %s", op)
	return "", nil
}

func (w *dialogue) state() {
	for _, name := range w.names {
		k := w.keys[name]
		for _, v := range k.versions {
			fmt.Fprintf(&w.out, "  %s@%s = %q\n", name, moment(v.ts), v.bytes)
		}
		if i := k.intent; i != nil {
			fmt.Fprintf(&w.out, "  %s has an intent at %s, epoch %d, seq %d\n", name, moment(i.txn.WriteTS), i.txn.Epoch, i.last())
		}
	}
	for _, tx := range w.sorted() {
		if rec := w.records[tx.Txn().ID]; rec != nil {
			fmt.Fprintf(&w.out, "  record of %s: %s\n", tx.Txn().Name, rec.Status)
		}
	}
}

func (w *dialogue) sorted() []*kv.TxnHandle {
	var all []*kv.TxnHandle
	for _, name := range []string{"T1", "T2", "T3", "T4"} {
		if tx := w.txns[name]; tx != nil {
			all = append(all, tx)
		}
	}
	return all
}
