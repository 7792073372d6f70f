package invariants

import (
	"fmt"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/mvcc"
	"simulacrum/db/storage"
	"simulacrum/workloads"
)

// ledger collects the committed versions of clients' keys from the batches of the
// commands that were applied, each batch once and in the order of its range's log.
//
// A version that is written beside an intent, which the record at the bare key tells of,
// is provisional. It is committed when the intent goes and the version stays, perhaps at
// another timestamp or with another value that the same batch gives it. It comes to
// nothing when it goes with its intent. A committed version that is removed was garbage:
// it stays in the ledger, because reads have seen it.
type ledger struct {
	// provisional has the value of each intent. Keys are those of clients, whichever
	// range they are in. Looked up only.
	provisional map[string]checker.Version

	touched []touch        // by the batch at hand, in order
	local   hlc.Timestamp  // when the latest of the versions in it was written, by the leaseholder's clock
	index   map[string]int // of a key in touched
}

// touch is what a batch does to one key.
type touch struct {
	key    string
	puts   []checker.Version // versions that the batch wrote, and leaves
	gone   bool              // the provisional value from before is removed or overwritten
	record bool              // the record is written or removed
	intent history.Timestamp // of the record that is written; zero: it has no intent, or there is none
}

func newLedger() *ledger {
	return &ledger{provisional: map[string]checker.Version{}, index: map[string]int{}}
}

// apply appends the versions that a batch commits to out.
func (l *ledger) apply(repr []byte, out []checker.Version) ([]checker.Version, error) {
	var b storage.Batch
	if err := b.SetRepr(repr); err != nil {
		return out, err
	}
	l.touched, l.local = l.touched[:0], hlc.Timestamp{}
	clear(l.index)
	for _, op := range b.Ops() {
		if err := l.operation(op); err != nil {
			return out, err
		}
	}
	for i := range l.touched {
		var err error
		if out, err = l.settle(&l.touched[i], out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// operation notes one operation of the batch.
func (l *ledger) operation(op storage.Op) error {
	if op.Kind == "delete-range" {
		if lo, hi := mvcc.EncodeSpan(keys.Span{Key: keys.ClientStart, EndKey: keys.Max}); string(op.Key) < string(hi) && string(op.Value) > string(lo) {
			return fmt.Errorf("a command removes the versions from %q to %q, whatever they are", op.Key, op.Value)
		}
		return nil
	}
	if keys.Key(op.Key).Less(keys.LocalEnd) {
		return nil // of the range, or the record of a transaction: nothing with versions
	}
	k, at, err := mvcc.DecodeKey(op.Key)
	if err != nil {
		return err
	}
	user := cluster.UserKey(k)
	if user == nil {
		return nil
	}
	t := l.touch(user)
	if at.IsEmpty() {
		t.record, t.intent = true, history.Timestamp{}
		if op.Kind == "put" {
			rec, err := mvcc.DecodeRecord(op.Key, op.Value)
			if err != nil {
				return err
			}
			if rec.Intent != nil {
				t.intent = timestampOf(rec.Intent.Txn.WriteTS)
			}
		}
		return nil
	}
	ts := timestampOf(at)
	t.remove(ts)
	if before, ok := l.provisional[t.key]; ok && before.TS == ts {
		t.gone = true
	}
	if op.Kind != "put" {
		return nil
	}
	v, local, err := versionOf(t.key, op)
	if err == nil {
		t.puts, l.local = append(t.puts, v), l.local.Forward(local)
	}
	return err
}

// touch finds or makes the note of a key. A batch mostly does one key after the other.
func (l *ledger) touch(user []byte) *touch {
	if n := len(l.touched); n > 0 && l.touched[n-1].key == string(user) {
		return &l.touched[n-1]
	}
	if i, ok := l.index[string(user)]; ok {
		return &l.touched[i]
	}
	key := string(user)
	l.index[key] = len(l.touched)
	l.touched = append(l.touched, touch{key: key})
	return &l.touched[len(l.touched)-1]
}

// remove forgets a version that the batch wrote before.
func (t *touch) remove(ts history.Timestamp) {
	for i := range t.puts {
		if t.puts[i].TS == ts {
			t.puts = append(t.puts[:i], t.puts[i+1:]...)
			return
		}
	}
}

// settle tells what is provisional after the batch from what it commits.
func (l *ledger) settle(t *touch, out []checker.Version) ([]checker.Version, error) {
	before, had := l.provisional[t.key]
	intent := t.intent
	if !t.record && had {
		intent = before.TS
	}
	stands := t.puts
	if had && !t.gone {
		stands = append(stands, before)
	}
	delete(l.provisional, t.key)
	found := false
	for _, v := range stands {
		if v.TS == intent {
			l.provisional[t.key], found = v, true
		} else {
			out = append(out, v)
		}
	}
	if !found && intent != (history.Timestamp{}) {
		return out, fmt.Errorf("the key %q is left with an intent at %v and no value there", t.key, intent)
	}
	return out, nil
}

func timestampOf(ts hlc.Timestamp) history.Timestamp {
	return history.Timestamp{Wall: ts.Wall, Logical: ts.Logical}
}

// versionOf is a stored version as checkers know it.
func versionOf(key string, op storage.Op) (version checker.Version, local hlc.Timestamp, err error) {
	_, v, _, err := mvcc.DecodeVersion(op.Key, op.Value)
	if err != nil {
		return checker.Version{}, hlc.Timestamp{}, err
	}
	value := history.NoKey()
	if v.Exists {
		if value, err = workloads.Decode(v.Bytes); err != nil {
			return checker.Version{}, hlc.Timestamp{}, err
		}
	}
	return checker.Version{Key: key, TS: timestampOf(v.Timestamp), Value: value}, v.Local, nil
}
