package kvclient

import (
	"fmt"
	"strings"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// TxnMetrics counts what the transactions of one gateway did.
type TxnMetrics struct {
	Begun, Committed, RolledBack int64
	ReadOnly                     int64 // commits that needed no record
	OnePhase                     int64 // commits in one phase
	Parallel                     int64 // commits that were implicit first
	Ambiguous                    int64 // commits of unknown outcome

	Restarts, Aborts int64 // next epochs, and new identities
	Pipelined        int64 // writes acknowledged before they were replicated
	Proofs           int64 // QueryIntents
	Refreshed        int64 // refreshes that found nothing changed
	RefreshFailed    int64
	Condensed        int64 // times that spans were joined to stay within the budget
	CommitWaits      int64
	Heartbeats       int64
	Batches          int64 // sent to the router, all told
}

// String prints what is not zero.
func (m *TxnMetrics) String() string {
	var b strings.Builder
	add := func(name string, n int64) {
		if n != 0 {
			fmt.Fprintf(&b, " %s=%d", name, n)
		}
	}
	add("begun", m.Begun)
	add("committed", m.Committed)
	add("rolled-back", m.RolledBack)
	add("read-only", m.ReadOnly)
	add("one-phase", m.OnePhase)
	add("parallel", m.Parallel)
	add("ambiguous", m.Ambiguous)
	add("restarts", m.Restarts)
	add("aborts", m.Aborts)
	add("pipelined", m.Pipelined)
	add("proofs", m.Proofs)
	add("refreshed", m.Refreshed)
	add("refresh-failed", m.RefreshFailed)
	add("condensed", m.Condensed)
	add("commit-waits", m.CommitWaits)
	add("heartbeats", m.Heartbeats)
	add("batches", m.Batches)
	return strings.TrimPrefix(b.String(), " ")
}

// counter is the last interceptor: it counts what leaves the coordinator.
type counter struct {
	m    *TxnMetrics
	next kv.Sender
}

// Send implements kv.Sender.
func (l *counter) Send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	l.m.Batches++
	for _, r := range ba.Requests {
		switch {
		case r.Method() == kv.QueryIntent:
			l.m.Proofs++
		case ba.AsyncConsensus && r.Method().Intents():
			l.m.Pipelined++
		}
	}
	br := l.next.Send(t, ba)
	if et := ba.EndTxn(); et != nil && et.Commit && br.Err == nil {
		if end, ok := br.Responses[len(br.Responses)-1].(*kv.EndTxnResponse); ok && end.OnePhase {
			l.m.OnePhase++
		}
	}
	return br
}

func (l *counter) rollbackTo(int32) {}
func (l *counter) restarted(bool)   {}
