package concurrency

import (
	"testing"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// A commit that is staged beside writes in flight does not wait for them: they have
// latches on their keys until they are replicated. One that resolves locks excludes
// everybody from them.
func TestStagingClaimsTheRecordAlone(t *testing.T) {
	txn := kv.NewTxn(kv.TxnID{1}, "t", 1, hlc.Timestamp{Wall: 1}, hlc.Timestamp{Wall: 2})
	txn.Key = keys.Key("a")
	end := &kv.EndTxnRequest{Key: txn.Key, Commit: true, LockSpans: []keys.Span{{Key: keys.Key("a")}, {Key: keys.Key("b")}},
		InFlight: []kv.SequencedWrite{{Key: keys.Key("a"), Sequence: 1}}}
	var r Request
	latches := func() int {
		r.Set(&kv.BatchRequest{Header: kv.Header{Txn: txn}, Requests: []kv.Request{end}}, hlc.Timestamp{})
		return len(r.Latches)
	}
	if n := latches(); n != 1 || !r.Latches[0].Span.Key.Equal(keys.TxnRecordKey(txn.Key, txn.ID)) {
		t.Errorf("staging claims %d latches: %v", n, r.Latches)
	}
	end.InFlight = nil
	if n := latches(); n != 3 {
		t.Errorf("a commit claims %d latches: %v", n, r.Latches)
	}
}
