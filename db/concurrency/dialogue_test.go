package concurrency

import (
	"fmt"
	"strconv"
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

// dialogue runs the commands of a file in testdata against the toy world. Each file
// opens with what it claims. After each command the outcomes are printed that came
// about meanwhile.
//
//	new [knob=value ...]
//	txn T1 [ts=N] [prio=N] [anchor=K]      N in seconds; now is about 100
//	NAME write|read|shared|exclusive K|K-L [txn=T1] [hold] [policy=error|skip] [timeout=D] [deadline=D]
//	release NAME                           of a request that holds its ticket
//	cancel NAME
//	commit|abort T1 [unresolved]           unresolved: its locks stay
//	stage T1 / push T1 to=N                the record changes
//	rollback T1 from=SEQ to=SEQ            in the lock table alone
//	dead T1                                its coordinator sends no heartbeats
//	met K T1 [ts=N] [epoch=N]              T1's intent is on disk, where others will meet it
//	stale K T1                             T1's intent was met under the lease before
//	lost K                                 the intent is not there any more, and nobody said so
//	lease                                  another lease applies in both ranges
//	cut / heal                             between ranges
//	run D
//	locks / waits / latches / pushes
type dialogue struct {
	t      *testing.T
	w      *world
	txns   map[string]*kv.Txn
	ops    map[string]*op
	events []string
}

func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") {
			return
		}
		d := &dialogue{t: t}
		defer func() {
			if d.w != nil {
				d.w.s.Close()
			}
		}()
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var out strings.Builder
			if td.Cmd == "new" {
				d.boot(td)
				return ""
			}
			for _, line := range strings.Split(strings.TrimSpace(td.Input), "\n") {
				if line = strings.TrimSpace(line); line == "" {
					continue
				}
				s := d.do(strings.Fields(line))
				for _, e := range d.events {
					s += e + "\n"
				}
				d.events = nil
				if s != "" {
					fmt.Fprintf(&out, "%s\n", strings.TrimRight(names(s), "\n"))
				}
			}
			for _, f := range d.w.s.Findings() {
				t.Fatal(f.String())
			}
			return out.String()
		})
	})
}

func (d *dialogue) boot(td *datadriven.TestData) {
	if d.w != nil {
		d.w.s.Close()
	}
	knobs := map[string]int64{}
	for _, a := range td.CmdArgs {
		v, err := strconv.ParseInt(a.Vals[0], 10, 64)
		if err != nil {
			dur, err := time.ParseDuration(a.Vals[0])
			if err != nil {
				d.t.Fatal(err)
			}
			v = int64(dur)
		}
		knobs[a.Key] = v
	}
	d.w, d.txns, d.ops = newWorld(1, knobs), map[string]*kv.Txn{}, map[string]*op{}
}

// args are what follows the first words, as key=value or words alone.
type args map[string]string

func parseArgs(f []string) args {
	a := args{}
	for _, s := range f {
		k, v, _ := strings.Cut(s, "=")
		a[k] = v
	}
	return a
}

func (a args) has(k string) bool { _, ok := a[k]; return ok }

func (a args) int(k string, otherwise int) int {
	if n, err := strconv.Atoi(a[k]); err == nil {
		return n
	}
	return otherwise
}

func (a args) dur(k string) time.Duration { d, _ := time.ParseDuration(a[k]); return d }

func second(n int) hlc.Timestamp { return hlc.Timestamp{Wall: int64(n) * 1e9} }

// settle lets everything happen that needs no time.
func (d *dialogue) run(dur time.Duration) { d.w.s.RunUntil(d.w.s.Now() + sim.Time(dur)) }

//house:flat one case a command
func (d *dialogue) do(f []string) string {
	w := d.w
	defer d.run(0)
	a := parseArgs(f[1:])
	switch f[0] {
	case "run":
		dur, err := time.ParseDuration(f[1])
		if err != nil {
			d.t.Fatal(err)
		}
		d.run(dur)
	case "txn":
		n, _ := strconv.Atoi(f[1][1:])
		txn := kv.NewTxn(txnID(n), f[1], int32(a.int("prio", 5)), second(a.int("ts", 90)), hlc.Timestamp{})
		txn.LastHeartbeat = w.clock.Now()
		if k := a["anchor"]; k != "" {
			txn.Key = keys.Key(k)
			w.of(txn.Key).record(txn.TxnMeta)
		}
		d.txns[f[1]] = txn
	case "commit", "abort":
		status := kv.Committed
		if f[0] == "abort" {
			status = kv.Aborted
		}
		w.s.Go("end", func(t env.Task) { w.end(t, d.txns[f[1]], status, !a.has("unresolved")) })
		d.run(0)
	case "stage", "push":
		txn := d.txns[f[1]]
		r := w.of(txn.Key)
		rec := r.record(txn.TxnMeta).Clone()
		if f[0] == "stage" {
			rec.Status = kv.Staging
		} else {
			rec.WriteTS = second(a.int("to", 0))
		}
		r.put(rec)
	case "rollback":
		txn := d.txns[f[1]]
		txn.IgnoredSeqs = []kv.SeqRange{{Start: int32(a.int("from", 0)), End: int32(a.int("to", 0))}}
		up := kv.UpdateOf(txn, keys.Span{Key: keys.Key("a"), EndKey: keys.Key("zz")})
		w.ranges[0].seq.OnLockUpdated(&up)
	case "seq":
		d.txns[f[1]].Sequence = int32(a.int("to", 0))
	case "dead":
		w.dead[d.txns[f[1]].ID] = true
	case "met":
		txn := *d.txns[f[2]]
		if txn.Key == nil {
			d.txns[f[2]].Key = keys.Key(f[1])
			txn.Key = keys.Key(f[1])
		}
		txn.WriteTS = txn.WriteTS.Forward(second(a.int("ts", 0)))
		txn.Epoch = int32(a.int("epoch", 0))
		w.of(keys.Key(f[1])).intents[f[1]] = txn.TxnMeta
	case "stale": // as if T1's intent had been met under an earlier lease
		r := w.of(keys.Key(f[1]))
		req := Request{Txn: d.txns[f[2]]}
		w.s.Go("stale", func(t env.Task) {
			tk, _, _ := r.seq.Sequence(t, nil, &req)
			r.seq.HandleLockConflict(tk, []kv.Lock{{Key: keys.Key(f[1]), Txn: d.txns[f[2]].TxnMeta, Strength: kv.LockIntent, Durability: kv.Replicated}}, r.lease-1)
			r.seq.Finish(tk)
		})
		d.run(0)
	case "lost":
		delete(w.of(keys.Key(f[1])).intents, f[1])
	case "lease":
		for _, r := range w.ranges {
			r.lease++
			r.seq.OnLeaseChanged(r.lease)
		}
	case "cut", "heal":
		w.cut = f[0] == "cut"
	case "release":
		d.ops[f[1]].release.Resolve(true, nil)
	case "cancel":
		d.ops[f[1]].task.Cancel(env.ErrCanceled)
	case "locks":
		return w.ranges[0].seq.Locks().String() + strings.TrimPrefix(w.ranges[1].seq.Locks().String(), "no locks\n")
	case "waits":
		return "r1:\n" + w.ranges[0].seq.Waits().String() + "r2:\n" + w.ranges[1].seq.Waits().String()
	case "latches":
		return fmt.Sprintf("%d guards\n", w.ranges[0].seq.Latches().Len()+w.ranges[1].seq.Latches().Len())
	case "pushes":
		return fmt.Sprintf("%d pushes\n", w.pushes)
	default:
		d.request(f, a)
	}
	return ""
}

// request starts one.
func (d *dialogue) request(f []string, a args) {
	strengths := map[string]kv.LockStrength{"read": kv.LockNone, "shared": kv.LockShared, "exclusive": kv.LockExclusive, "write": kv.LockIntent}
	strength, ok := strengths[f[1]]
	if !ok {
		d.t.Fatalf("unknown command: %s", f)
	}
	from, to, ranged := strings.Cut(f[2], "-")
	o := &op{name: f[0], txn: d.txns[a["txn"]], span: keys.Span{Key: keys.Key(from)}, strength: strength,
		volatile: true, hold: a.has("hold"), timeout: a.dur("timeout")}
	if ranged {
		o.span.EndKey = keys.Key(to)
	}
	switch a["policy"] {
	case "error":
		o.policy = kv.WaitError
	case "skip":
		o.policy = kv.WaitSkip
	}
	d.ops[f[0]] = o
	w := d.w
	deadline := a.dur("deadline")
	o.task = w.s.Go(o.name, func(t env.Task) {
		if deadline > 0 {
			t.SetDeadline(w.s.World().Mono() + deadline)
		}
		o.err = w.serve(t, o)
		o.done = true
		if o.err != nil {
			d.events = append(d.events, fmt.Sprintf("%s: %s", o.name, o.err))
			return
		}
		d.events = append(d.events, fmt.Sprintf("%s: done %s", o.name, strings.Join(o.saw, " ")))
	})
	d.run(0)
}
