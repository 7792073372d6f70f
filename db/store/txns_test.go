package store

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// txnDialogue runs the commands of a file in testdata/txns against a txnWorld. Each file
// opens with what it claims. After each command it is printed what was sent meanwhile,
// what was answered, and which waits came to an end.
//
//	new [knob=value ...]
//	txn T1 STATUS anchor=K [ts=N] [epoch=N] [writes=K/SEQ,...] [spans=K,K-L,...]   its record; ts in seconds, now is about 100
//	intent K T1 [seq=N] [ts=N] [epoch=N]
//	NAME push T1 [abort|touch|to=N] [policy=error]
//	NAME query T1
//	NAME resolve T1 STATUS SPANS
//	finish T1 [STATUS]           its record has become so
//	old T1                       the GC queue has found its record
//	forget T1                    its record is gone
//	cancel NAME
//	cut K / heal                 whatever is sent there fails
//	hold METHOD / release        requests of the method are on their way
//	lose METHOD                  the answer to the next one is lost
//	run D
//	state
type txnDialogue struct {
	t     *testing.T
	w     *txnWorld
	tasks map[string]env.Task
}

func TestTxnDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/txns", func(t *testing.T, path string) {
		d := &txnDialogue{t: t}
		defer func() {
			if d.w != nil {
				d.w.s.Close()
			}
		}()
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd == "new" {
				d.boot(td)
				return ""
			}
			var out strings.Builder
			for _, line := range strings.Split(strings.TrimSpace(td.Input), "\n") {
				out.WriteString(d.do(strings.Fields(line)))
				d.w.run(0)
				for _, l := range d.w.log {
					out.WriteString(l + "\n")
				}
				d.w.log = nil
			}
			for _, f := range d.w.s.Findings() {
				t.Fatal(f.String())
			}
			return txnNames(out.String())
		})
	})
}

var txnName = regexp.MustCompile(`\b0([1-9])000000(0{24})?\b`)

func txnNames(s string) string { return txnName.ReplaceAllString(s, "T$1") }

func (d *txnDialogue) boot(td *datadriven.TestData) {
	if d.w != nil {
		d.w.s.Close()
	}
	knobs := map[string]int64{}
	for _, a := range td.CmdArgs {
		v, err := strconv.ParseInt(a.Vals[0], 10, 64)
		if err != nil {
			d.t.Fatal(err)
		}
		knobs[a.Key] = v
	}
	d.w, d.tasks = newTxnWorld(1, knobs), map[string]env.Task{}
}

func txnStatus(s string) kv.TxnStatus {
	for st := kv.Pending; st <= kv.Aborted; st++ {
		if st.String() == s {
			return st
		}
	}
	panic("no status: " + s)
}

func txnSpans(s string) (spans []keys.Span) {
	for _, f := range strings.Split(s, ",") {
		if from, to, ranged := strings.Cut(f, "-"); ranged {
			spans = append(spans, keys.Span{Key: keys.Key(from), EndKey: keys.Key(to)})
		} else if f != "" {
			spans = append(spans, keys.Span{Key: keys.Key(f)})
		}
	}
	return spans
}

func (d *txnDialogue) id(name string) kv.TxnID {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "T"))
	if err != nil {
		d.t.Fatalf("no transaction: %s", name)
	}
	return testTxnID(n)
}

// txn makes, or changes, a record.
func (d *txnDialogue) txn(f []string, a map[string]string, num func(string, int) int) {
	w, id := d.w, d.id(f[1])
	txn := kv.NewTxn(id, "", 5, txnSecond(num("ts", 90)), txnSecond(0))
	txn.Key, txn.Epoch, txn.Status = keys.Key(a["anchor"]), int32(num("epoch", 0)), txnStatus(f[2])
	if old := w.records[id]; old != nil && a["anchor"] == "" {
		txn.Key = old.Key
	}
	for _, s := range txnSpans(a["writes"]) {
		key, seq, _ := strings.Cut(string(s.Key), "/")
		n, _ := strconv.Atoi(seq)
		txn.InFlight = append(txn.InFlight, kv.SequencedWrite{Key: keys.Key(key), Sequence: int32(n)})
	}
	txn.LockSpans = txnSpans(a["spans"])
	w.records[id] = txn
}

//house:flat one case a command
func (d *txnDialogue) do(f []string) string {
	w := d.w
	a := map[string]string{}
	for _, s := range f[1:] {
		k, v, _ := strings.Cut(s, "=")
		a[k] = v
	}
	num := func(k string, otherwise int) int {
		if n, err := strconv.Atoi(a[k]); err == nil {
			return n
		}
		return otherwise
	}
	switch f[0] {
	case "txn":
		d.txn(f, a, num)
	case "intent":
		w.intents[f[1]] = kv.TxnMeta{ID: d.id(f[2]), Sequence: int32(num("seq", 1)), WriteTS: txnSecond(num("ts", 90)), Epoch: int32(num("epoch", 0))}
	case "forget":
		delete(w.records, d.id(f[1]))
	case "finish":
		rec := w.records[d.id(f[1])].Clone()
		if len(f) > 2 {
			rec.Status = txnStatus(f[2])
			w.records[rec.ID] = rec
		}
		w.x.Finish(rec.Clone())
	case "old":
		w.x.abandoned(w.records[d.id(f[1])].Clone())
	case "cancel":
		d.tasks[f[1]].Cancel(env.ErrCanceled)
	case "cut":
		w.cut[f[1]] = true
	case "heal":
		clear(w.cut)
	case "hold", "lose":
		m := kv.Method(0)
		for m.String() != f[1] {
			m++
		}
		if f[0] == "hold" {
			w.held = m
		} else {
			w.lose = m
		}
	case "release":
		w.held = 0
	case "run":
		dur, err := time.ParseDuration(f[1])
		if err != nil {
			d.t.Fatal(err)
		}
		w.run(dur)
	case "state":
		return w.String()
	default:
		d.start(f, a, num)
	}
	return ""
}

// start lets a request of somebody wait.
func (d *txnDialogue) start(f []string, a map[string]string, num func(string, int) int) {
	w := d.w
	rec := w.records[d.id(f[2])]
	var wait func(t env.Task) (*kv.Txn, *kv.Error)
	switch f[1] {
	case "push":
		req := &kv.PushTxnRequest{Key: rec.Key, Pushee: rec.TxnMeta, Type: kv.PushTimestamp, PushTo: txnSecond(num("to", 95))}
		req.Pusher = kv.TxnMeta{ID: testTxnID(9), Priority: kv.MaxPriority}
		if _, ok := a["abort"]; ok {
			req.Type = kv.PushAbort
		} else if _, ok := a["touch"]; ok {
			req.Type = kv.PushTouch
		}
		policy := kv.WaitBlock
		if a["policy"] == "error" {
			policy = kv.WaitError
		}
		wait = func(t env.Task) (*kv.Txn, *kv.Error) { return w.x.PushTxn(t, req, policy) }
	case "query":
		wait = func(t env.Task) (*kv.Txn, *kv.Error) {
			resp, err := w.x.QueryTxn(t, &kv.QueryTxnRequest{Key: rec.Key, Txn: rec.TxnMeta})
			if err != nil {
				return nil, err
			}
			return &resp.Txn, nil
		}
	case "resolve":
		txn := rec.Clone()
		txn.Status = txnStatus(f[3])
		ups := updatesOf(txn, txnSpans(f[4]))
		wait = func(t env.Task) (*kv.Txn, *kv.Error) { return txn, w.x.ResolveLocks(t, ups) }
	default:
		d.t.Fatalf("unknown command: %s", f)
	}
	d.tasks[f[0]] = w.s.Go(f[0], func(t env.Task) {
		txn, err := wait(t)
		if err != nil {
			w.log = append(w.log, fmt.Sprintf("%s: %s", f[0], err.Kind))
			return
		}
		w.log = append(w.log, fmt.Sprintf("%s: %s is %s", f[0], kv.FormatTxnID(txn.ID), txn.Status))
	})
}
