package server

import (
	"fmt"
	"strconv"
	"strings"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

func dialogueSpan(from, to string) (a, b []byte) { return dialogueKey(from), dialogueKey(to) }

// act is one step of a transaction.
//
//house:flat one case a step
func (c *client) act(t env.Task, op string, args []string) (string, error) {
	tx := c.tx
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	k := dialogueKey(arg(0))
	switch op {
	case "get":
		v, err := tx.Get(t, k)
		return formatValue(v), err
	case "lock", "share":
		l := kv.Locking{Lock: kv.LockExclusive}
		if op == "share" {
			l.Lock = kv.LockShared
		}
		if arg(1) == "replicated" {
			l.Durability = kv.Replicated
		}
		v, err := tx.GetLocked(t, k, l)
		return formatValue(v), err
	case "scan":
		a, b := dialogueSpan(arg(0), arg(1))
		rows, err := tx.Scan(t, a, b, 0)
		s := fmt.Sprintf("%d rows", len(rows))
		for _, r := range rows {
			s += fmt.Sprintf(" %s=%q", r.Key, r.Value)
		}
		return s, err
	case "put":
		return "ok", tx.Put(t, k, []byte(arg(1)))
	case "cput":
		if len(args) > 2 {
			return "ok", tx.CPut(t, k, []byte(arg(1)), []byte(arg(2)))
		}
		return "ok", tx.CPutAbsent(t, k, []byte(arg(1)))
	case "inc":
		n, err := tx.Inc(t, k, 1)
		return fmt.Sprint(n), err
	case "del":
		existed, err := tx.Del(t, k)
		return fmt.Sprintf("existed %t", existed), err
	case "delrange":
		a, b := dialogueSpan(arg(0), arg(1))
		n, err := tx.DelRange(t, a, b)
		return fmt.Sprintf("%d deleted", n), err
	case "save":
		s, err := tx.Savepoint(t)
		c.saved[arg(0)] = s
		return "ok", err
	case "back":
		return "ok", tx.RollbackTo(t, c.saved[arg(0)])
	case "skip":
		tx.SetWaitPolicy(kv.WaitSkip)
		return "skips what is locked", nil
	case "error":
		tx.SetWaitPolicy(kv.WaitError)
		return "does not wait", nil
	case "commit":
		var last []kv.Request
		for i := 0; i+1 < len(args); i += 2 {
			last = append(last, &kv.PutRequest{Key: dialogueKey(args[i]), Value: []byte(args[i+1])})
		}
		if _, err := tx.CommitWith(t, kv.Header{}, last...); err != nil {
			return "", err
		}
		return "committed at " + tx.CommitTimestamp().String(), nil
	case "rollback":
		tx.Rollback(t)
		return "rolled back", nil
	case "restart":
		if err := tx.Restart(t); err != nil {
			return "", err
		}
		return fmt.Sprintf("epoch %d at %s", tx.Txn().Epoch, tx.ReadTimestamp()), nil
	}
	panic("unknown step " + op)
}

// plain is a request without a transaction.
func plain(t env.Task, db *kv.DB, op string, args []string) (string, error) {
	k := dialogueKey(args[0])
	switch op {
	case "get":
		v, err := db.Get(t, k)
		return formatValue(v), err
	case "put":
		ts, err := db.Put(t, k, []byte(args[1]))
		return "ok at " + ts.String(), err
	case "cput":
		if len(args) > 2 {
			ts, err := db.CPut(t, k, []byte(args[1]), []byte(args[2]))
			return "ok at " + ts.String(), err
		}
		ts, err := db.CPutAbsent(t, k, []byte(args[1]))
		return "ok at " + ts.String(), err
	}
	if op == "txn" {
		var s string
		err := db.TxnWith(t, kv.TxnOptions{Name: "T", Priority: 5}, func(tx *kv.TxnHandle) error {
			for i := 0; i+1 < len(args); i += 2 {
				if err := tx.Put(t, dialogueKey(args[i]), []byte(args[i+1])); err != nil {
					return err
				}
			}
			err := tx.Commit(t)
			s = "committed at " + tx.CommitTimestamp().String()
			return err
		})
		return s, err
	}
	panic("unknown request " + op)
}

func formatValue(v kv.Value) string {
	if !v.Exists {
		return "nothing"
	}
	return fmt.Sprintf("%q of %s", v.Bytes, v.Timestamp)
}

func formatBatch(ba *kv.BatchRequest) string {
	var parts []string
	for _, q := range ba.Requests {
		s := formatRequest(q)
		if d := descriptorIn(q); d != nil {
			s = fmt.Sprintf("%s(%s, %s)", q.Method(), q.Span().Key, shortRange(d))
		}
		if q.Seq() != 0 && q.Method().Intents() {
			s += fmt.Sprintf(" #%d", q.Seq())
		}
		parts = append(parts, s)
	}
	s := strings.Join(parts, ", ")
	if ba.AsyncConsensus {
		s += ", pipelined"
	}
	if txn := ba.Txn; txn != nil {
		s += fmt.Sprintf("  %s at %s", kv.FormatTxnID(txn.ID), txn.ReadTS)
		if txn.WriteTS != txn.ReadTS {
			s += ", writes at " + txn.WriteTS.String()
		}
		if txn.Epoch > 0 {
			s += fmt.Sprintf(", epoch %d", txn.Epoch)
		}
		if len(txn.IgnoredSeqs) > 0 {
			s += ", without"
			for _, r := range txn.IgnoredSeqs {
				s += fmt.Sprintf(" #%d-%d", r.Start, r.End)
			}
		}
	}
	switch ba.WaitPolicy {
	case kv.WaitError:
		s += "  without waiting"
	case kv.WaitSkip:
		s += "  skipping"
	}
	return s
}

func shortRange(d *kv.RangeDescriptor) string {
	return fmt.Sprintf("r%d [%s, %s) generation %d%s", d.RangeID, shortKey(d.StartKey), shortKey(d.EndKey), d.Generation, formatPlaces(d))
}

// formatRequest is kv's, with what matters between ranges.
func formatRequest(q kv.Request) string {
	s := kv.FormatRequest(q)
	switch q := q.(type) {
	case *kv.PushTxnRequest:
		pusher := "nobody"
		if q.Pusher.ID != (kv.TxnID{}) {
			pusher = kv.FormatTxnID(q.Pusher.ID)
		}
		s = fmt.Sprintf("PushTxn(%s %s", q.Type, kv.FormatTxnID(q.Pushee.ID))
		if q.Type == kv.PushTimestamp {
			s += " to " + q.PushTo.String()
		}
		s += " by " + pusher
		if q.Force {
			s += ", by force"
		}
		s += ")"
	case *kv.QueryTxnRequest:
		s = "QueryTxn(" + kv.FormatTxnID(q.Txn.ID)
		for i, id := range q.KnownWaiting {
			if i == 0 {
				s += ", known to wait:"
			}
			s += " " + kv.FormatTxnID(id)
		}
		s += ")"
	case *kv.QueryIntentRequest:
		s = fmt.Sprintf("QueryIntent(%s, %s #%d at %s)", q.Key, kv.FormatTxnID(q.Txn.ID), q.Txn.Sequence, q.Txn.WriteTS)
	case *kv.RecoverTxnRequest:
		s = fmt.Sprintf("RecoverTxn(%s, all found %t)", kv.FormatTxnID(q.Txn.ID), q.ImplicitlyCommitted)
	case *kv.ResolveIntentRequest:
		s += resolution(q.Poison)
	case *kv.ResolveIntentRangeRequest:
		s += resolution(q.Poison)
	case *kv.SubsumeRequest:
		s = fmt.Sprintf("Subsume(%s, for %s)", shortRange(&q.Right), kv.FormatTxnID(q.Txn.ID))
	case *kv.GCRequest:
		s = "GC("
		if !q.Threshold.IsEmpty() {
			s += "threshold " + q.Threshold.String()
		}
		if len(q.Keys) > 0 {
			s += "a record"
		}
		s += ")"
	}
	return s
}

func resolution(poison bool) string {
	if poison {
		return " with note"
	}
	return ""
}

func formatAnswer(br *kv.BatchResponse) string {
	if br.Err != nil {
		return formatError(br.Err)
	}
	var parts []string
	for _, r := range br.Responses {
		s := kv.FormatResponse(r)
		_, s, _ = strings.Cut(s, " ")
		s = strings.TrimPrefix(s, "= ")
		switch r := r.(type) {
		case *kv.GetResponse:
			if d, err := kv.ParseDescriptor(r.Value); err == nil {
				s = shortRange(d)
			}
		case *kv.AdminMergeResponse:
			s = shortRange(&r.Desc)
		case *kv.SubsumeResponse:
			s = fmt.Sprintf("frozen at %s", r.FreezeStart)
		case *kv.EndTxnResponse:
			if !r.OnePhase && r.StagingTS.IsEmpty() {
				s = br.Txn.Status.String()
			}
		case *kv.PushTxnResponse:
			s = fmt.Sprintf("%s at %s", r.Pushee.Status, r.Pushee.WriteTS)
		case *kv.QueryTxnResponse:
			s = r.Txn.Status.String()
			for i, id := range r.Waiting {
				if i == 0 {
					s += ", waited for by"
				}
				s += " " + kv.FormatTxnID(id)
			}
		case *kv.QueryIntentResponse:
			s = map[bool]string{true: "found", false: "missing, prevented"}[r.Found]
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func formatError(e *kv.Error) string {
	s := e.Kind.String()
	d := e.Detail
	if d == nil {
		return s
	}
	switch {
	case d.Retry != 0:
		s += ", " + d.Retry.String()
	case d.Abort != 0:
		s += ", " + d.Abort.String()
	}
	switch {
	case d.Pushee != nil:
		s += fmt.Sprintf(": %s is %s", kv.FormatTxnID(d.Pushee.ID), d.Pushee.Status)
	case !d.ActualTS.IsEmpty():
		s += ": at least " + d.ActualTS.String()
	case !d.ValueTS.IsEmpty():
		s += ": a value of " + d.ValueTS.String()
	}
	return s
}

func formatActual(actual *kv.KeyValue) string {
	if actual == nil {
		return "nothing"
	}
	return strconv.Quote(string(actual.Value))
}

func formatRecord(txn *kv.Txn) string {
	s := fmt.Sprintf("%s: %s at %s", kv.FormatTxnID(txn.ID), txn.Status, txn.WriteTS)
	if txn.Epoch > 0 {
		s += fmt.Sprintf(" epoch %d", txn.Epoch)
	}
	for i, w := range txn.InFlight {
		if i == 0 {
			s += ", in flight"
		}
		s += fmt.Sprintf(" %s#%d", w.Key, w.Sequence)
	}
	for i, l := range txn.LockSpans {
		if i == 0 {
			s += ", locks"
		}
		s += " " + l.String()
	}
	for _, r := range txn.IgnoredSeqs {
		s += fmt.Sprintf(", without #%d-%d", r.Start, r.End)
	}
	return s
}
