package concurrency

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
)

// The keys that the model knows: a few single letters, the keys right above them, and
// the transaction record of one of them.
func modelKeys() []keys.Key {
	var all []keys.Key
	for c := byte('a'); c <= 'j'; c++ {
		all = append(all, keys.Key{0x10, c}, keys.Key{0x10, c, 0}, keys.TxnRecordKey(keys.Key{0x10, c}, txnID(1)))
	}
	return all
}

func letter(i int) keys.Key { return keys.Key{0x10, 'a' + byte(i)} }

func txnID(n int) (id keys.TxnID) { id[0] = byte(n); return id }

func at(n int) hlc.Timestamp { return hlc.Timestamp{Wall: int64(n)} }

// naiveCache is an array: a list of who read, and when, for each key.
type naiveCache map[string][]ReadMark

func (n naiveCache) add(s keys.Span, m ReadMark) {
	for _, k := range modelKeys() {
		if s.ContainsKey(k) {
			n[string(k)] = append(n[string(k)], m)
		}
	}
}

// max says the highest timestamp of s, and whose it is if it is of one owner alone.
func (n naiveCache) max(s keys.Span) (m ReadMark) {
	for _, k := range modelKeys() {
		for _, o := range n[string(k)] {
			if s.ContainsKey(k) && m.TS.Less(o.TS) {
				m.TS = o.TS
			}
		}
	}
	owners := map[keys.TxnID]bool{}
	for _, k := range modelKeys() {
		for _, o := range n[string(k)] {
			if s.ContainsKey(k) && o.TS == m.TS {
				owners[o.Txn] = true
			}
		}
	}
	if len(owners) == 1 {
		for m.Txn = range owners {
		}
	}
	return m
}

func drawSpan(t *rapid.T) keys.Span {
	lo := rapid.IntRange(0, 9).Draw(t, "lo")
	var s keys.Span
	switch rapid.IntRange(0, 2).Draw(t, "shape") {
	case 0:
		s = keys.Span{Key: letter(lo)}
	case 1:
		s = keys.Span{Key: letter(lo), EndKey: letter(rapid.IntRange(lo+1, 10).Draw(t, "hi"))}
	default:
		return keys.Span{Key: keys.TxnRecordKey(letter(lo), txnID(1))}
	}
	if rapid.IntRange(0, 5).Draw(t, "above") == 0 {
		s.Key = s.Key.Next()
	}
	return s
}

var wholeRange = keys.Span{Key: letter(0), EndKey: letter(11)}

// Whatever is added, the cache knows exactly as much as the model as long as nothing
// is forgotten, also after it went through a summary, a split or a merge.
func TestTimestampCacheExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		naive := naiveCache{}
		c := NewTimestampCache(rapid.Int64Range(1, 2000).Draw(t, "page"), 1000, hlc.Timestamp{})
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := drawSpan(t)
				m := ReadMark{at(rapid.IntRange(1, 12).Draw(t, "ts")), txnID(rapid.IntRange(0, 3).Draw(t, "txn"))}
				c.Add(s, m.TS, m.Txn)
				naive.add(s, m)
			},
			"summary": func(t *rapid.T) {
				s := c.Summary(wholeRange, 1<<20)
				b := s.Encode(nil)
				if len(b) != s.Size() {
					t.Fatalf("%d bytes, announced %d", len(b), s.Size())
				}
				r := codec.NewReader(b)
				s = DecodeReadSummary(r)
				if err := r.Done(); err != nil || !bytes.Equal(s.Encode(nil), b) {
					t.Fatal("does not read back:", err)
				}
				next := NewTimestampCache(1<<20, 4, hlc.Timestamp{})
				next.Apply(s)
				c = next
			},
			"split and merge": func(t *rapid.T) {
				i := rapid.IntRange(1, 10).Draw(t, "at")
				right := keys.Span{Key: letter(i), EndKey: wholeRange.EndKey}
				left := keys.Span{Key: wholeRange.Key, EndKey: letter(i)}
				rc := c.Split(right)
				lc := c.Split(left)
				lc.Merge(right, rc.Summary(right, 1<<20))
				c = lc
			},
			"": func(t *rapid.T) {
				s := drawSpan(t)
				if got, want := c.Max(s), naive.max(s); got != want {
					t.Fatalf("%s: %s, must be %s\n%s", s, got, want, c)
				}
			},
		})
	})
}

// A cache of bounded memory never answers lower than the model, keeps its bound, and
// its answers for a key never go down; nor does a summary of bounded size.
func TestTimestampCacheForgetsUpwards(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		naive := naiveCache{}
		page, pages := rapid.Int64Range(1, 400).Draw(t, "page"), rapid.IntRange(1, 3).Draw(t, "pages")
		c := NewTimestampCache(page, pages, hlc.Timestamp{})
		before := map[string]ReadMark{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				s := drawSpan(t)
				m := ReadMark{at(rapid.IntRange(1, 30).Draw(t, "ts")), txnID(rapid.IntRange(0, 3).Draw(t, "txn"))}
				c.Add(s, m.TS, m.Txn)
				naive.add(s, m)
			},
			"low water": func(t *rapid.T) {
				c.RaiseLowWater(at(rapid.IntRange(1, 30).Draw(t, "ts")))
			},
			"hand over": func(t *rapid.T) {
				size := rapid.IntRange(1, 300).Draw(t, "size")
				s := c.Summary(wholeRange, size)
				if len(s.Marks) > 0 && s.Size() > size {
					t.Fatalf("summary of %d bytes, at most %d", s.Size(), size)
				}
				c = NewTimestampCache(page, pages, hlc.Timestamp{})
				c.Apply(s)
			},
			"": func(t *rapid.T) {
				for _, k := range modelKeys() {
					got, want := c.Max(keys.Span{Key: k}), naive.max(keys.Span{Key: k})
					old := before[string(k)]
					if got.Join(want) != got || got.Join(old) != got {
						t.Fatalf("%s: %s; must be at least %s, and was %s\n%s", k, got, want, old, c)
					}
					before[string(k)] = got
				}
				// Each page is exceeded by one mark at most: by three pieces of a span, when cut.
				if limit := int64(pages) * (page + 3*(spanMarkBytes+60)); c.Bytes() > limit {
					t.Fatalf("%d bytes, at most %d", c.Bytes(), limit)
				}
			},
		})
	})
}

// Two transactions that read a key at one timestamp own it neither: each must write
// above it. One that is alone may write at its own read.
func TestEqualTimestampsOfTwoOwners(t *testing.T) {
	c := NewTimestampCache(1<<10, 2, at(5))
	k := keys.Span{Key: letter(0)}
	c.Add(k, at(10), txnID(1))
	if m := c.Max(k); m.Allows(at(10), txnID(1)) != at(10) || m.Allows(at(10), txnID(2)) != at(10).Next() || m.Allows(at(10), txnID(0)) != at(10).Next() {
		t.Errorf("read by one: %s", m)
	}
	c.Add(keys.Span{Key: letter(0), EndKey: letter(3)}, at(10), txnID(2))
	if m := c.Max(k); m.Allows(at(10), txnID(1)) != at(10).Next() || m.Allows(at(10), txnID(2)) != at(10).Next() {
		t.Errorf("read by two: %s", m)
	}
	if m := c.Max(keys.Span{Key: letter(7)}); m != (ReadMark{TS: at(5)}) || m.Allows(at(5), txnID(1)) != at(5).Next() {
		t.Errorf("low-water mark: %s", m)
	}
}

// Markers of a record concern that record alone, and survive a lease transfer.
func TestRecordMarkers(t *testing.T) {
	c := NewTimestampCache(1<<10, 2, at(5))
	c.MarkPushed(letter(1), txnID(1), at(20))
	c.MarkTombstone(letter(1), txnID(2), at(30), txnID(2))
	next := NewTimestampCache(1<<10, 2, at(1))
	next.Apply(c.Summary(wholeRange, 1<<10))
	for _, c := range []*TimestampCache{c, next} {
		for _, x := range []struct{ got, want string }{
			{c.MinCommit(letter(1), txnID(1)).String(), at(20).String()},
			{c.MinCommit(letter(1), txnID(2)).String(), at(5).String()},
			{c.Tombstone(letter(1), txnID(1)).String(), at(5).String()},
			{c.Tombstone(letter(1), txnID(2)).String(), at(30).String() + " by 02000000"},
		} {
			if x.got != x.want {
				t.Errorf("%s, must be %s\n%s", x.got, x.want, c)
			}
		}
	}
}

// What counts as read in the range to the right does so after a merge, over there and
// at the records of that side, and not on this side.
func TestMergedLowWater(t *testing.T) {
	left, right := NewTimestampCache(1<<10, 2, at(5)), NewTimestampCache(1<<10, 2, at(9))
	span := keys.Span{Key: letter(5), EndKey: letter(11)}
	left.Merge(span, right.Summary(span, 1<<10))
	for _, x := range []struct {
		key  keys.Key
		want int
	}{{letter(1), 5}, {letter(7), 9}, {keys.TxnRecordKey(letter(1), txnID(1)), 5}, {keys.TxnRecordKey(letter(7), txnID(1)), 9}} {
		if got := left.Max(keys.Span{Key: x.key}); got.TS != at(x.want) {
			t.Errorf("%s: %s, must be %s", x.key, got, at(x.want))
		}
	}
}

// A decoder takes whatever bytes.
func FuzzReadSummary(f *testing.F) {
	c := NewTimestampCache(1<<10, 2, at(5))
	c.Add(keys.Span{Key: letter(1), EndKey: letter(4)}, at(9), txnID(3))
	s := c.Summary(wholeRange, 1<<10)
	f.Add(s.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := codec.NewReader(b)
		s := DecodeReadSummary(r)
		if r.Done() == nil && !bytes.Equal(s.Encode(nil), b) {
			t.Fatalf("%x is not canonical", b)
		}
	})
}

func benchKeys(n int) []keys.Key {
	var ks []keys.Key
	for i := range n {
		ks = append(ks, keys.Key(fmt.Sprintf("\x10key%06d", i*7919%n)))
	}
	return ks
}

func BenchmarkTimestampCache(b *testing.B) {
	ks := benchKeys(4096)
	full := func() *TimestampCache {
		c := NewTimestampCache(64<<10, 4, at(1))
		for i, k := range ks {
			c.Add(keys.Span{Key: k}, at(i+2), txnID(1))
		}
		return c
	}
	b.Run("add point", func(b *testing.B) {
		b.ReportAllocs()
		c := full()
		for i := 0; b.Loop(); i++ {
			c.Add(keys.Span{Key: ks[i%len(ks)]}, at(i+10_000), txnID(2))
		}
	})
	b.Run("add span", func(b *testing.B) {
		b.ReportAllocs()
		c := full()
		end := keys.Key("\x10kez")
		for i := 0; b.Loop(); i++ {
			k := ks[i%len(ks)]
			c.Add(keys.Span{Key: k, EndKey: end}, at(i+10_000), txnID(2))
		}
	})
	b.Run("max point", func(b *testing.B) {
		b.ReportAllocs()
		c := full()
		for i := 0; b.Loop(); i++ {
			c.Max(keys.Span{Key: ks[i%len(ks)]})
		}
	})
	b.Run("max span of 10", func(b *testing.B) {
		b.ReportAllocs()
		c := full()
		var spans []keys.Span
		for i := range 1000 {
			spans = append(spans, keys.Span{Key: keys.Key(fmt.Sprintf("\x10key%06d", i)), EndKey: keys.Key(fmt.Sprintf("\x10key%06d", i+10))})
		}
		for i := 0; b.Loop(); i++ {
			c.Max(spans[i%len(spans)])
		}
	})
}
