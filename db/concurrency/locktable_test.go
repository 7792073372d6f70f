package concurrency

import (
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// modelRequest is one request for one key, in the naive model.
type modelRequest struct {
	key      int
	txn      int // 0: none
	strength kv.LockStrength
	promotes bool
	passes   bool // its transaction holds as much already: it has no place
	through  bool // has gone through, and does not look again
	guard    *LockGuard
}

// modelHolder is one lock of the model.
type modelHolder struct {
	key, txn int
	strength kv.LockStrength
	ts       int
	volatile bool
}

type lockModel struct {
	requests []*modelRequest // in order of arrival
	holders  []modelHolder
}

const modelReadTS = 10

// waits says whether the request has to: a conflicting lock of another transaction is
// held, or a conflicting request came before.
func (m *lockModel) waits(r *modelRequest) bool {
	for _, h := range m.holders {
		if h.key != r.key || h.txn == r.txn {
			continue
		}
		if r.strength == kv.LockNone && h.strength == kv.LockIntent && h.ts <= modelReadTS {
			return true
		}
		if r.strength != kv.LockNone && (h.strength > kv.LockShared || r.strength > kv.LockShared) {
			return true
		}
	}
	if r.strength == kv.LockNone || r.passes {
		return false
	}
	before := true
	for _, o := range m.requests {
		if o == r {
			before = false
			continue
		}
		ahead := before
		if o.promotes != r.promotes {
			ahead = o.promotes
		}
		switch {
		case o.key != r.key || o.passes || o.strength == kv.LockNone || !ahead:
		case o.txn == r.txn && r.txn != 0 || o.txn == 0 && r.txn != 0:
		case o.strength > kv.LockShared || r.strength > kv.LockShared:
			return true
		}
	}
	return false
}

// Whatever happens, in whatever order, a guard of the table waits exactly if the naive
// model says so, and each change of that is announced.
func TestLockTableModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var lt LockTable
		var m lockModel
		key := func(i int) keys.Key { return letter(i) }
		meta := func(txn, ts int) kv.TxnMeta { return kv.TxnMeta{ID: txnID(txn), WriteTS: at(ts)} }
		waiting := map[*LockGuard]bool{}
		drawTxn := func(t *rapid.T) int { return rapid.IntRange(1, 4).Draw(t, "txn") }
		drawKey := func(t *rapid.T) int { return rapid.IntRange(0, 1).Draw(t, "key") }
		release := func(keep func(modelHolder) bool) {
			var kept []modelHolder
			for _, h := range m.holders {
				if keep(h) {
					kept = append(kept, h)
				}
			}
			m.holders = kept
		}
		t.Repeat(map[string]func(*rapid.T){
			"arrive": func(t *rapid.T) {
				r := &modelRequest{key: drawKey(t), txn: rapid.IntRange(0, 4).Draw(t, "txn"), strength: kv.LockStrength(rapid.IntRange(0, 3).Draw(t, "strength"))}
				req := &Request{ReadTS: at(modelReadTS), Locks: []LockSpan{{keys.Span{Key: key(r.key)}, r.strength}}}
				if rapid.Bool().Draw(t, "span") {
					req.Locks[0].Span.EndKey = key(r.key).PrefixEnd()
				}
				if r.txn > 0 {
					req.Txn = &kv.Txn{TxnMeta: meta(r.txn, 1)}
				}
				for _, h := range m.holders {
					if h.key == r.key && h.txn == r.txn {
						r.promotes = true
						r.passes = r.passes || h.strength >= r.strength
					}
				}
				r.guard = &LockGuard{req: req}
				// On a key that is not listed nobody has a place: latches order those.
				listed := lt.get(key(r.key)) != nil
				if lt.Scan(r.guard); !listed {
					r.passes = true
				}
				m.requests = append(m.requests, r)
				waiting[r.guard] = r.guard.Waiting().Kind != WaitNone
			},
			"lock and end": func(t *rapid.T) {
				i := rapid.IntRange(0, 99).Draw(t, "which")
				if i >= len(m.requests) || m.waits(m.requests[i]) {
					return
				}
				r := m.requests[i]
				volatile := rapid.Bool().Draw(t, "volatile")
				if r.txn > 0 && r.strength > kv.LockNone {
					// Latches would have ordered those who have no place.
					free := true
					for _, h := range m.holders {
						free = free && (h.key != r.key || h.txn == r.txn || !h.strength.Conflicts(r.strength))
					}
					if free {
						d := kv.Replicated
						if volatile {
							d = kv.Unreplicated
						}
						if listed := lt.get(key(r.key)) != nil; listed || volatile {
							m.holders = append(m.holders, modelHolder{r.key, r.txn, r.strength, 1, volatile})
							for j := range m.holders { // a holder's timestamp is one
								if h := &m.holders[j]; h.key == r.key && h.txn == r.txn {
									m.holders[len(m.holders)-1].ts = max(m.holders[len(m.holders)-1].ts, h.ts)
								}
							}
						}
						lt.AcquireLock(key(r.key), meta(r.txn, 1), r.strength, d)
					}
				}
				lt.Dequeue(r.guard)
				m.requests = append(m.requests[:i], m.requests[i+1:]...)
				delete(waiting, r.guard)
			},
			"give up": func(t *rapid.T) {
				if i := rapid.IntRange(0, 99).Draw(t, "which"); i < len(m.requests) {
					lt.Dequeue(m.requests[i].guard)
					delete(waiting, m.requests[i].guard)
					m.requests = append(m.requests[:i], m.requests[i+1:]...)
				}
			},
			"met": func(t *rapid.T) {
				k, txn, ts := drawKey(t), drawTxn(t), rapid.IntRange(5, 15).Draw(t, "ts")
				for _, h := range m.holders {
					if h.key == k && (h.txn == txn || h.volatile) {
						return
					}
				}
				release(func(h modelHolder) bool { return h.key != k })
				m.holders = append(m.holders, modelHolder{k, txn, kv.LockIntent, ts, false})
				finder := &LockGuard{req: &Request{}}
				defer lt.Dequeue(finder)
				lt.AddDiscovered(finder, []kv.Lock{{Key: key(k), Txn: meta(txn, ts), Strength: kv.LockIntent, Durability: kv.Replicated}})
			},
			"end": func(t *rapid.T) {
				k, txn := drawKey(t), drawTxn(t)
				status := kv.TxnStatus(rapid.IntRange(2, 3).Draw(t, "status"))
				release(func(h modelHolder) bool { return h.key != k || h.txn != txn })
				lt.UpdateLocks(&kv.LockUpdate{Span: keys.Span{Key: key(k)}, Txn: meta(txn, 1), Status: status})
			},
			"push": func(t *rapid.T) {
				k, txn, ts := drawKey(t), drawTxn(t), rapid.IntRange(1, 15).Draw(t, "ts")
				for i := range m.holders {
					if h := &m.holders[i]; h.key == k && h.txn == txn {
						h.ts = max(h.ts, ts)
					}
				}
				lt.UpdateLocks(&kv.LockUpdate{Span: keys.Span{Key: key(0), EndKey: key(9)}, Txn: meta(txn, 0), Status: kv.Pending})
				lt.UpdateLocks(&kv.LockUpdate{Span: keys.Span{Key: key(k)}, Txn: meta(txn, ts), Status: kv.Pending})
			},
			"restart": func(t *rapid.T) {
				k, txn := drawKey(t), drawTxn(t)
				release(func(h modelHolder) bool { return h.key != k || h.txn != txn })
				up := kv.LockUpdate{Span: keys.Span{Key: key(k)}, Txn: meta(txn, 1), Status: kv.Pending}
				up.Txn.Epoch = 1
				lt.UpdateLocks(&up)
			},
			"": func(t *rapid.T) {
				lt.Woken(func(g *LockGuard) {
					if _, ok := waiting[g]; ok {
						waiting[g] = g.Waiting().Kind != WaitNone
					}
				})
				for i, r := range m.requests {
					want, got := m.waits(r), r.guard.Waiting().Kind != WaitNone
					if r.through || r.passes && !got {
						continue // others are kept away by latches, and by its place
					}
					r.through = !got
					if want != got || waiting[r.guard] != got {
						t.Fatalf("request %d (%s of T%d at %d): waits %t, was told %t, must %t\n%s", i, r.strength, r.txn, r.key, got, waiting[r.guard], want, &lt)
					}
				}
			},
		})
	})
}

// Above its limit the table forgets what nobody waits for: replicated locks first, and
// those in memory only if that is not enough.
func TestLockTableForgets(t *testing.T) {
	lt := LockTable{limit: 4}
	g := &LockGuard{req: &Request{Locks: []LockSpan{{keys.Span{Key: letter(0)}, kv.LockIntent}}}}
	for i := range 3 {
		lt.AddDiscovered(g, []kv.Lock{{Key: letter(i), Txn: kv.TxnMeta{ID: txnID(1)}, Strength: kv.LockIntent, Durability: kv.Replicated}})
	}
	if !lt.Scan(g) {
		t.Fatal("does not wait")
	}
	for i := 3; i < 9; i++ {
		lt.AcquireLock(letter(i), kv.TxnMeta{ID: txnID(2)}, kv.LockExclusive, kv.Unreplicated)
		got := ""
		for k := range 9 {
			if lt.get(letter(k)) != nil {
				got += string(letter(k)[1:])
			}
		}
		if want := map[int]string{3: "abcd", 4: "ade", 5: "adef", 6: "ag", 7: "agh", 8: "aghi"}[i]; got != want {
			t.Errorf("after %s: %s, want %s", letter(i), got, want)
		}
	}
	if g.Waiting().Kind != WaitHolder {
		t.Error("a waiter was forgotten")
	}
}

// Two requests that meet a lock each do not make a full table forget the other's: both
// wait when they are scanned again (scenarios/found/forgetful-table).
func TestFullTableKeepsWhatWasJustMet(t *testing.T) {
	lt := LockTable{limit: 1}
	var guards []*LockGuard
	for i := range 2 {
		g := &LockGuard{req: &Request{Locks: []LockSpan{{keys.Span{Key: letter(i)}, kv.LockIntent}}}}
		lt.AddDiscovered(g, []kv.Lock{{Key: letter(i), Txn: kv.TxnMeta{ID: txnID(1)}, Strength: kv.LockIntent, Durability: kv.Replicated}})
		guards = append(guards, g)
	}
	for i, g := range guards {
		if !lt.Scan(g) {
			t.Errorf("request %d has nothing to wait for\n%s", i, &lt)
		}
		lt.Dequeue(g)
	}
	lt.make(letter(5))
	if lt.Len() != 1 {
		t.Errorf("what nobody waits for stays\n%s", &lt)
	}
}

// An intent of an epoch that is over stands in the way all the same, until it is
// resolved: who meets it waits, though the holder is known by a later lock (scenario
// bank, seed 3).
func TestVoidLockIsWaitedFor(t *testing.T) {
	var lt LockTable
	m := kv.TxnMeta{ID: txnID(1), Epoch: 1, WriteTS: at(20)}
	lt.AcquireLock(letter(1), m, kv.LockExclusive, kv.Unreplicated)
	g := &LockGuard{req: &Request{ReadTS: at(10), Locks: []LockSpan{{keys.Span{Key: letter(1)}, kv.LockNone}}}}
	if lt.Scan(g) {
		t.Fatal("waits for a lock that lets readers pass")
	}
	m.Epoch, m.WriteTS = 0, at(5)
	lt.AddDiscovered(g, []kv.Lock{{Key: letter(1), Txn: m, Strength: kv.LockIntent, Durability: kv.Replicated}})
	if !lt.Scan(g) || g.Waiting().Txn.Epoch != 1 {
		t.Errorf("does not wait, or for the epoch that is over\n%s", &lt)
	}
}

// The lock of another in memory is never taken over: that would be our own fault.
func TestAcquireWhatIsLocked(t *testing.T) {
	var lt LockTable
	lt.AcquireLock(letter(1), kv.TxnMeta{ID: txnID(1)}, kv.LockExclusive, kv.Unreplicated)
	defer func() {
		if recover() == nil {
			t.Error("two hold the key")
		}
	}()
	lt.AcquireLock(letter(1), kv.TxnMeta{ID: txnID(2)}, kv.LockExclusive, kv.Unreplicated)
}

// A lock that was taken twice stays when only the second time is rolled back.
func TestEarlierAcquisitionStays(t *testing.T) {
	var lt LockTable
	m := kv.TxnMeta{ID: txnID(1), Sequence: 1}
	lt.AcquireLock(letter(1), m, kv.LockExclusive, kv.Unreplicated)
	m.Sequence = 5
	lt.AcquireLock(letter(1), m, kv.LockExclusive, kv.Unreplicated)
	up := kv.LockUpdate{Span: keys.Span{Key: letter(1)}, Txn: m, IgnoredSeqs: []kv.SeqRange{{Start: 3, End: 7}}}
	if lt.UpdateLocks(&up); lt.Len() != 1 {
		t.Error("released")
	}
	up.IgnoredSeqs[0].Start = 1
	if lt.UpdateLocks(&up); lt.Len() != 0 {
		t.Errorf("not released\n%s", &lt)
	}
}

// What evaluation met is believed, whatever was thought of the intent's timestamp: else
// the reader that met it would go round without an end. A replicated lock that nobody
// has to do with is not listed when it is taken.
func TestMetIntentIsBelieved(t *testing.T) {
	var lt LockTable
	m := kv.TxnMeta{ID: txnID(1), WriteTS: at(15)}
	if lt.AcquireLock(letter(1), m, kv.LockIntent, kv.Replicated); lt.Len() != 0 {
		t.Error("a lock is listed that nobody has met")
	}
	met := []kv.Lock{{Key: letter(1), Txn: m, Strength: kv.LockIntent, Durability: kv.Replicated}}
	g := &LockGuard{req: &Request{ReadTS: at(10), Locks: []LockSpan{{keys.Span{Key: letter(1)}, kv.LockNone}}}}
	lt.AddDiscovered(g, met)
	if lt.Scan(g) {
		t.Error("waits for an intent above what it reads")
	}
	met[0].Txn.WriteTS = at(8)
	if lt.AddDiscovered(g, met); !lt.Scan(g) {
		t.Errorf("does not wait\n%s", &lt)
	}
}

// When ranges split, locks go with their keys, and those who wait go round.
func TestMoveLocks(t *testing.T) {
	var left, right LockTable
	var guards []*LockGuard
	for i := range 3 {
		left.AcquireLock(letter(i), kv.TxnMeta{ID: txnID(1)}, kv.LockExclusive, kv.Unreplicated)
		g := &LockGuard{req: &Request{Txn: &kv.Txn{TxnMeta: kv.TxnMeta{ID: txnID(2)}}, Locks: []LockSpan{{keys.Span{Key: letter(i)}, kv.LockIntent}}}}
		left.Scan(g)
		guards = append(guards, g)
	}
	left.MoveTo(&right, keys.Span{Key: letter(1), EndKey: letter(9)})
	woken := 0
	left.Woken(func(g *LockGuard) { woken++ })
	if left.Len() != 1 || right.Len() != 2 || woken != 2 || guards[0].Waiting().Kind != WaitHolder || guards[1].Waiting().Kind != WaitNone {
		t.Errorf("%d woken\nleft\n%s\nright\n%s", woken, &left, &right)
	}
	for _, g := range guards {
		left.Dequeue(g)
	}
	if right.MoveTo(&left, keys.Span{EndKey: keys.Max}); left.Len() != 3 || right.Len() != 0 {
		t.Errorf("merged\nleft\n%s\nright\n%s", &left, &right)
	}
}

// What becomes of a push, rule by rule.
func TestJudgePush(t *testing.T) {
	const exp = 5e9
	record := func(status kv.TxnStatus, prio int32, write, heartbeat int) *kv.Txn {
		return &kv.Txn{TxnMeta: kv.TxnMeta{ID: txnID(1), Priority: prio, WriteTS: second(write)}, Status: status, LastHeartbeat: second(heartbeat)}
	}
	for _, c := range []struct {
		rule   string
		typ    kv.PushType
		prio   int32
		force  bool
		record *kv.Txn
		want   PushVerdict
	}{
		{"alive, equal priority", kv.PushAbort, 5, false, record(kv.Pending, 5, 10, 98), PushWaits},
		{"alive, higher priority of the usual kind", kv.PushAbort, 6, false, record(kv.Pending, 5, 10, 98), PushWaits},
		{"alive, read", kv.PushTimestamp, 5, false, record(kv.Pending, 5, 10, 98), PushWaits},
		{"read below", kv.PushTimestamp, 5, false, record(kv.Pending, 5, 50, 98), PushIsMoot},
		{"over", kv.PushTouch, 5, false, record(kv.Committed, 5, 10, 98), PushIsMoot},
		{"touched alive", kv.PushTouch, kv.MaxPriority, false, record(kv.Pending, 5, 10, 98), PushWaits},
		{"touched abandoned", kv.PushTouch, 5, false, record(kv.Pending, 5, 10, 94), PushAborts},
		{"abandoned", kv.PushAbort, 5, false, record(kv.Pending, 5, 10, 94), PushAborts},
		{"abandoned, read", kv.PushTimestamp, 5, false, record(kv.Pending, 5, 10, 94), PushAborts},
		{"at the edge of it", kv.PushAbort, 5, false, record(kv.Pending, 5, 10, 95), PushWaits},
		{"highest pushes", kv.PushAbort, kv.MaxPriority, false, record(kv.Pending, 5, 10, 98), PushAborts},
		{"highest reads", kv.PushTimestamp, kv.MaxPriority, false, record(kv.Pending, 5, 10, 98), PushMoves},
		{"highest against highest", kv.PushAbort, kv.MaxPriority, false, record(kv.Pending, kv.MaxPriority, 10, 98), PushWaits},
		{"lowest yields", kv.PushAbort, 5, false, record(kv.Pending, kv.MinPriority, 10, 98), PushAborts},
		{"forced", kv.PushAbort, 5, true, record(kv.Pending, 9, 10, 98), PushAborts},
		{"staging, forced", kv.PushAbort, 5, true, record(kv.Staging, 9, 10, 98), PushRecovers},
		{"staging, abandoned", kv.PushTimestamp, 5, false, record(kv.Staging, 5, 10, 94), PushRecovers},
		{"staging, alive", kv.PushAbort, 5, false, record(kv.Staging, 5, 10, 98), PushWaits},
	} {
		req := &kv.PushTxnRequest{Pusher: kv.TxnMeta{ID: txnID(2), Priority: c.prio}, PushTo: second(20), Type: c.typ, Force: c.force}
		if got := JudgePush(req, c.record, second(100), exp); got != c.want {
			t.Errorf("%s: %s, must be: %s", c.rule, got, c.want)
		}
	}
	nobody := &kv.PushTxnRequest{Pusher: kv.TxnMeta{Priority: kv.MaxPriority}, Type: kv.PushAbort}
	if got := JudgePush(nobody, record(kv.Pending, kv.MinPriority, 10, 98), second(100), exp); got != PushWaits {
		t.Errorf("somebody without transaction has a rank: %s", got)
	}
}

func BenchmarkLockTable(b *testing.B) {
	ks := benchKeys(1024)
	b.Run("scan past 1000 other locks", func(b *testing.B) {
		var lt LockTable
		for _, k := range ks {
			lt.AcquireLock(k, kv.TxnMeta{ID: txnID(1)}, kv.LockExclusive, kv.Unreplicated)
		}
		req := &Request{Locks: []LockSpan{{keys.Span{Key: keys.Key("\x10key9")}, kv.LockIntent}}}
		b.ReportAllocs()
		g := &LockGuard{req: req}
		for b.Loop() {
			if lt.Scan(g) {
				b.Fatal("waits")
			}
			lt.Dequeue(g)
		}
	})
	b.Run("acquire and release in memory", func(b *testing.B) {
		var lt LockTable
		m := kv.TxnMeta{ID: txnID(1), WriteTS: hlc.Timestamp{Wall: 1}}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			k := ks[i%len(ks)]
			lt.AcquireLock(k, m, kv.LockExclusive, kv.Unreplicated)
			lt.UpdateLocks(&kv.LockUpdate{Span: keys.Span{Key: k}, Txn: m, Status: kv.Committed})
		}
	})
}
