package kv

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"simulacrum/db/keys"
)

// TestIndexFindsRanges claims: wherever ranges may be divided, and however often, the first
// entry of the index above a key, or at and above the end of keys, is that of the range which
// holds them. That holds for the ranges of the index itself; and no two ranges have the same
// entry.
func TestIndexFindsRanges(t *testing.T) {
	anyKey := rapid.Custom(func(t *rapid.T) keys.Key {
		if rapid.IntRange(0, 7).Draw(t, "last") == 0 {
			return keys.Meta2Key(keys.Max)
		}
		k := keys.Key(rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 5, 6, 'a', 0xfe, 0xff}), 0, 3).Draw(t, "bytes"))
		if k.Less(keys.System) || k.Less(keys.LocalEnd) || rapid.Bool().Draw(t, "meta2") {
			k = keys.Meta2Key(k)
		}
		return k
	})
	rapid.Check(t, func(t *rapid.T) {
		bounds := []keys.Key{keys.Min, keys.Max}
		for _, k := range rapid.SliceOfN(anyKey, 0, 8).Draw(t, "splits") {
			if CheckSplitKey(k) == nil {
				bounds = append(bounds, k)
			}
		}
		slices.SortFunc(bounds, keys.Key.Compare)
		bounds = slices.CompactFunc(bounds, keys.Key.Equal)
		index := map[string]keys.Span{}
		var entries []keys.Key
		for i, start := range bounds[:len(bounds)-1] {
			s := keys.Span{Key: start, EndKey: bounds[i+1]}
			for _, m := range keys.MetaKeys(s.Key, s.EndKey) {
				if _, twice := index[string(m)]; twice {
					t.Fatalf("two ranges have the entry %s", m)
				}
				index[string(m)] = s
				entries = append(entries, m)
			}
		}
		slices.SortFunc(entries, keys.Key.Compare)
		first := func(at, end keys.Key) keys.Span {
			for _, m := range entries {
				if !m.Less(at) && m.Less(end) {
					return index[string(m)]
				}
			}
			t.Fatalf("no entry in [%s, %s)", at, end)
			return keys.Span{}
		}
		k := anyKey.Draw(t, "key")
		if last := keys.Meta2Key(keys.Max); !k.Less(keys.Max) || last.Less(k) && k.Less(keys.Meta2End) {
			return // no key, or the place in the index of no key
		}
		if in, ok := keys.MetaSpan(k); ok {
			if s := first(in.Key, in.EndKey); !s.ContainsKey(k) {
				t.Fatalf("%s is looked for in %s", k, s)
			}
		}
		if meta, end, ok := keys.MetaKeyBelow(k); ok {
			if s := first(meta, end); !s.Key.Less(k) || s.EndKey.Less(k) {
				t.Fatalf("what is below %s is looked for in %s", k, s)
			}
		}
	})
}
