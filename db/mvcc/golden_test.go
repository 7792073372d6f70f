package mvcc

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// TestGolden runs the histories in testdata, each of which opens with its claim. A
// block "run" holds a command a line, as "put a x t=1 seq=2"; timestamps are seconds.
func TestGolden(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		withEngine(t, 1, func(task env.Task, eng *storage.Engine) {
			s := &script{eng: eng, txns: map[string]*kv.Txn{}}
			datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
				var out strings.Builder
				for line := range strings.Lines(td.Input) {
					out.WriteString(s.line(t, strings.Fields(line)) + "\n")
				}
				if counted, err := ComputeStats(eng, machineSpan); err != nil || counted != s.stats {
					t.Fatalf("%s: statistics: counted %+v (%v), kept %+v", td.Pos, counted, err, s.stats)
				}
				return out.String()
			})
		})
	})
}

// script runs commands against an engine.
type script struct {
	eng   *storage.Engine
	txns  map[string]*kv.Txn
	stats Stats
	args  map[string]string // of the line at hand: what follows name=
}

func seconds(s string) (ts hlc.Timestamp) {
	n, _ := strconv.ParseInt(s, 10, 64)
	return hlc.Timestamp{Wall: n * 1e9}
}

func (s *script) has(name string) bool { _, ok := s.args[name]; return ok }

func (s *script) num(name string) int32 {
	n, _ := strconv.ParseInt(s.args[name], 10, 32)
	return int32(n)
}

func (s *script) line(t *testing.T, words []string) string {
	s.args = map[string]string{}
	var plain []string
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			s.args[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	for len(plain) < 4 {
		plain = append(plain, "")
	}
	txn := s.txn(plain[0], plain[1])
	ts := seconds(s.args["ts"])
	if txn != nil && !s.has("ts") {
		ts = txn.ReadTS
	}
	k := keys.Key(plain[1])
	switch plain[0] {
	case "begin", "move", "restart", "rollback":
		return s.coordinate(plain[0], txn)
	case "get":
		v, err := GetWith(s.eng, k, ts, s.options(txn))
		return said(v, err)
	case "scan", "rscan":
		scan := map[string]func(storage.Reader, keys.Span, hlc.Timestamp, Limit, ReadOptions) ([]kv.KeyValue, keys.Span, error){
			"scan": ScanWith, "rscan": ReverseScanWith}[plain[0]]
		rows, resume, err := scan(s.eng, machineSpan, ts, Limit{Keys: int64(s.num("max"))}, s.options(txn))
		var b strings.Builder
		for _, r := range rows {
			fmt.Fprintf(&b, "%s=%s ", r.Key, r.Value)
		}
		if resume.Key != nil {
			fmt.Fprintf(&b, "then %v", resume)
		}
		if b.Len() == 0 {
			b.WriteString("no rows")
		}
		return said(strings.TrimSpace(b.String()), err)
	case "refresh":
		return said("unchanged", Refresh(s.eng, machineSpan, seconds(s.args["from"]), seconds(s.args["to"]), txn.ID))
	case "query":
		meta := txn.TxnMeta
		meta.Sequence = s.num("seq")
		q, err := QueryIntent(s.eng, k, &meta)
		return said(fmt.Sprintf("found %v at %v, proven %v", q.Found, q.At, q.Proven), err)
	case "dump":
		return s.dump()
	}
	return s.write(t, plain, txn, ts)
}

func (s *script) txn(command, name string) *kv.Txn {
	if command == "begin" {
		id := kv.TxnID{byte(len(s.txns) + 1)}
		s.txns[s.args["t"]] = kv.NewTxn(id, s.args["t"], 1, seconds(s.args["ts"]), seconds(s.args["ts"]))
	}
	txn := s.txns[s.args["t"]].Clone()
	if txn != nil && s.has("seq") {
		txn.Sequence = s.num("seq")
	}
	if txn != nil && s.has("late") { // the request was sent before anything was rolled back
		txn.IgnoredSeqs = nil
	}
	if txn != nil && s.has("epoch") {
		txn.Epoch = s.num("epoch")
	}
	return txn
}

// coordinate changes what a transaction's coordinator knows of it.
func (s *script) coordinate(command string, txn *kv.Txn) string {
	switch command {
	case "move":
		txn.WriteTS = txn.WriteTS.Forward(seconds(s.args["write"]))
		txn.ReadTS = txn.ReadTS.Forward(seconds(s.args["read"]))
	case "restart":
		txn.Restart(1, seconds(s.args["ts"]))
	case "rollback":
		txn.IgnoredSeqs = kv.AddIgnored(txn.IgnoredSeqs, kv.SeqRange{Start: s.num("from"), End: s.num("to")})
	}
	s.txns[s.args["t"]] = txn
	return fmt.Sprintf("%s: epoch %d reads at %v writes at %v without %v", txn.Name, txn.Epoch, txn.ReadTS, txn.WriteTS, txn.IgnoredSeqs)
}

func (s *script) options(txn *kv.Txn) ReadOptions {
	strength := map[string]kv.LockStrength{"shared": kv.LockShared, "exclusive": kv.LockExclusive}
	return ReadOptions{
		Txn: txn, Uncertainty: Uncertainty{GlobalLimit: seconds(s.args["global"]), LocalLimit: seconds(s.args["local"])},
		FailOnMoreRecent: s.has("newest"), SkipLocked: s.has("skip"), Lock: strength[s.args["lock"]], MaxLocks: int(s.num("locks")),
	}
}

func (s *script) write(t *testing.T, plain []string, txn *kv.Txn, ts hlc.Timestamp) string {
	var b storage.Batch
	w := &Writer{Reader: s.eng.NewOverlay(&b), Batch: &b, Txn: txn, Local: seconds(s.args["local"])}
	k, value := keys.Key(plain[1]), []byte(plain[2])
	var answer any = "ok"
	var err error
	switch plain[0] {
	case "put":
		err = w.Put(k, ts, value)
	case "del":
		answer, err = w.Delete(k, ts)
	case "cput":
		err = w.ConditionalPut(k, ts, value, []byte(plain[3]), plain[3] != "")
	case "initput":
		err = w.InitPut(k, ts, value, s.has("tombstones"))
	case "inc":
		answer, err = w.Increment(k, ts, 1)
	case "delrange":
		var resume keys.Span
		var deleted []keys.Key
		deleted, resume, err = w.DeleteRange(machineSpan, ts, int64(s.num("max")))
		answer = fmt.Sprintf("%v then %v", deleted, resume)
	case "lock":
		err = w.AcquireLock(k, s.options(nil).Lock)
	case "resolve":
		u := kv.UpdateOf(txn, machineSpan)
		u.Status = map[string]kv.TxnStatus{"pending": kv.Pending, "staging": kv.Staging, "committed": kv.Committed, "aborted": kv.Aborted}[plain[1]]
		if s.has("at") {
			u.Txn.WriteTS = seconds(s.args["at"])
		}
		w.Txn = nil
		answer, _, err = w.ResolveIntentRange(machineSpan, u, 0)
	case "gc":
		var ks []keys.Key
		if ks, _, err = FindGarbage(s.eng, machineSpan, ts, 0); err == nil {
			answer, err = ks, w.GC(ts, ks)
		}
	default:
		t.Fatalf("unknown command %q", plain[0])
	}
	if err == nil {
		s.eng.Commit(&b, false, nil)
		s.stats.Add(w.Stats)
		if !w.Written.IsEmpty() {
			answer = fmt.Sprintf("%v, written at %v", answer, w.Written)
		}
	}
	return said(answer, err)
}

func (s *script) dump() string {
	lo, hi := EncodeSpan(machineSpan)
	it := s.eng.NewIter(lo, hi)
	defer it.Close()
	var out []string
	for ok := it.First(); ok; ok = it.Next() {
		k, v, bare, err := DecodeVersion(it.Key(), it.Value())
		text := v.String()
		if bare {
			var rec *Record
			rec, err = DecodeRecord(it.Key(), it.Value())
			text = rec.String()
		} else if v.Local != v.Timestamp {
			text += fmt.Sprintf(" local %v", v.Local)
		}
		out = append(out, fmt.Sprintf("%s %s", k, said(text, err)))
	}
	return strings.Join(out, "\n")
}

func said(answer any, err error) string {
	if err != nil {
		return strings.TrimPrefix(err.Error(), "mvcc: ")
	}
	return fmt.Sprint(answer)
}
