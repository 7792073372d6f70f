package gossip

import (
	"bytes"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// anyInfo draws infos of few keys and versions, so that they often meet.
func anyInfo() *rapid.Generator[Info] {
	return rapid.Custom(func(t *rapid.T) Info {
		return Info{
			Key:     rapid.SampledFrom([]string{"a", "b", "b:1", "c"}).Draw(t, "key"),
			Value:   rapid.SampledFrom([][]byte{nil, {1}, {2}}).Draw(t, "value"),
			Version: hlc.Timestamp{Wall: rapid.Int64Range(1, 3).Draw(t, "wall"), Logical: rapid.Int32Range(0, 1).Draw(t, "logical")},
			Origin:  kv.NodeID(rapid.IntRange(1, 3).Draw(t, "origin")),
			TTL:     rapid.SampledFrom([]time.Duration{0, 1, 5}).Draw(t, "ttl"),
			Hops:    rapid.Int32Range(0, 3).Draw(t, "hops"),
		}
	})
}

// show is what an info store holds, without the way on which it came.
func (s *infos) show() string {
	var b []byte
	s.visit("", func(x *Info) bool {
		y := *x
		y.Hops = 0
		b = y.Encode(b)
		return true
	})
	return string(b)
}

func filled(list []Info) *infos {
	s := newInfos()
	for _, x := range list {
		s.add(x, teller{})
	}
	return &s
}

func (s *infos) all() []Info {
	list, _ := s.news(0, teller{}, math.MaxInt)
	return list
}

// The stores are a join semilattice: to take in what another holds is associative,
// commutative and idempotent, and never makes anything older.
func TestSemilattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.SliceOfN(anyInfo(), 0, 12)
		a, b, c := gen.Draw(t, "a"), gen.Draw(t, "b"), gen.Draw(t, "c")
		join := func(lists ...[]Info) string {
			s := newInfos()
			for _, list := range lists {
				for _, x := range filled(list).all() {
					before, known := s.get(x.Key)
					var old Info
					if known {
						old = *before
					}
					added := s.add(x, teller{})
					after, _ := s.get(x.Key)
					if known && after.compare(&old) < 0 || added != (!known || after.compare(&old) > 0) {
						t.Fatalf("%s after %s, news: %v", after, &old, added)
					}
				}
			}
			return s.show()
		}
		abc := join(a, b, c)
		if ab := filled(append(filled(a).all(), b...)).all(); join(ab, c) != abc {
			t.Fatal("not associative")
		}
		if join(c, b, a) != abc || join(b, a, c) != abc {
			t.Fatal("not commutative")
		}
		if join(a, b, c, a, c, b) != abc {
			t.Fatal("not idempotent")
		}
	})
}

// Whoever takes in the news after the number up to which he has them, message by
// message, holds what the teller holds; and nobody is told what he told himself.
func TestNewsAreComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := newInfos(), newInfos()
		b1 := teller{2, 1}
		var have uint64
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				a.add(anyInfo().Draw(t, "info"), teller{})
			case 1:
				a.add(anyInfo().Draw(t, "other's"), teller{3, 1})
			case 2: // the peer told
				x := anyInfo().Draw(t, "told")
				b.add(x, teller{})
				a.add(x, b1)
			case 3:
				limit := rapid.IntRange(1, 40).Draw(t, "limit")
				list, upTo := a.news(have, b1, limit)
				if len(list) == 0 && a.hasNews(have, b1) || len(list) > 0 && !a.hasNews(have, b1) {
					t.Fatalf("hasNews says otherwise than news: %v", list)
				}
				size := 0
				for i, x := range list {
					if a.byKey[x.Key].from == b1 {
						t.Fatalf("%s was told by whom it is told to", &x)
					}
					if size += x.Size(); i < len(list)-1 && size >= limit {
						t.Fatalf("%d bytes are more than %d", size, limit)
					}
					b.add(x, teller{1, 1})
				}
				have = upTo
			}
		}
		for a.hasNews(have, b1) {
			list, upTo := a.news(have, b1, 20)
			for _, x := range list {
				b.add(x, teller{1, 1})
			}
			have = upTo
		}
		for _, x := range a.all() {
			if y, ok := b.get(x.Key); !ok || y.compare(&x) < 0 {
				t.Fatalf("the peer has %v in place of %s", y, &x)
			}
		}
		var bytes int64
		for _, x := range a.all() {
			bytes += int64(x.Size())
		}
		if a.bytes != bytes {
			t.Fatalf("%d bytes are accounted, %d are held", a.bytes, bytes)
		}
	})
}

// Whoever visits may add infos, and sees each key once all the same.
func TestAddWhileVisiting(t *testing.T) {
	s := newInfos()
	add := func(key string) { s.add(Info{Key: key, Version: hlc.Timestamp{Wall: 1}}, teller{}) }
	for _, key := range []string{"b", "d", "f"} {
		add(key)
	}
	seen := ""
	s.visit("", func(x *Info) bool {
		seen += x.Key
		add(string(x.Key[0] - 1))
		add("z")
		return true
	})
	if seen != "bdfz" {
		t.Fatal(seen)
	}
}

// Every message decodes to itself, and says beforehand how long it is.
func TestMessages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := batch{teller: teller{kv.NodeID(rapid.Int32().Draw(t, "node")), rapid.Int64().Draw(t, "incarnation")},
			UpTo: rapid.Uint64().Draw(t, "up to"), Infos: rapid.SliceOfN(anyInfo(), 0, 4).Draw(t, "infos")}
		q := &request{Cluster: ClusterID(rapid.Uint64().Draw(t, "cluster")), batch: p,
			Have: rapid.Uint64().Draw(t, "have"), HaveIncarnation: rapid.Int64().Draw(t, "have incarnation")}
		b := q.Encode(nil)
		r := codec.NewReader(b)
		back := decodeRequest(r)
		if err := r.Done(); err != nil || len(b) != q.Size() || !bytes.Equal(back.Encode(nil), b) || back.Have != q.Have || back.teller != q.teller {
			t.Fatalf("%v: %+v becomes %+v", err, q, back)
		}
		a := &response{Verdict: verdict(rapid.IntRange(0, int(numVerdicts)-1).Draw(t, "verdict")), batch: p}
		b = a.Encode(nil)
		r = codec.NewReader(b)
		got := decodeResponse(r)
		if err := r.Done(); err != nil || len(b) != a.Size() || !bytes.Equal(got.Encode(nil), b) || got.Verdict != a.Verdict {
			t.Fatalf("%v: %+v becomes %+v", err, a, got)
		}
	})
}

// Decoders give an error for whatever is not the encoding of something, and never panic.
func FuzzDecode(f *testing.F) {
	x := Info{Key: "k", Value: []byte("v"), Version: hlc.Timestamp{Wall: 5}, Origin: 1, TTL: 3, Hops: 2}
	q := &request{Cluster: 7, batch: batch{teller: teller{1, 2}, UpTo: 3, Infos: []Info{x, x}}, Have: 4, HaveIncarnation: 5}
	d := &NodeDescriptor{NodeID: 3, Address: "n3", Incarnation: 4, Locality: placement.Locality{{Name: "region", Value: "eu"}, {Name: "zone", Value: "a"}}, Attributes: []string{"ssd"}, Draining: true}
	s := &StoreDescriptor{StoreID: 3, NodeID: 2, Attributes: []string{"ssd"}, Capacity: StoreCapacity{Capacity: 9, Load: placement.Load{CPU: -1}}}
	f.Add(q.Encode(nil))
	f.Add((&response{Verdict: full, batch: q.batch}).Encode(nil))
	f.Add(d.Encode(nil))
	f.Add(s.Encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := codec.NewReader(b)
		if q := decodeRequest(r); r.Done() == nil && !bytes.Equal(q.Encode(nil), b) {
			t.Fatalf("%x is not what %+v encodes to", b, q)
		}
		r = codec.NewReader(b)
		if p := decodeResponse(r); r.Done() == nil && !bytes.Equal(p.Encode(nil), b) {
			t.Fatalf("%x is not what %+v encodes to", b, p)
		}
		if d, err := DecodeNodeDescriptor(b); err == nil && !bytes.Equal(d.Encode(nil), b) {
			t.Fatalf("%x is not what %s encodes to", b, d)
		}
		if d, err := DecodeStoreDescriptor(b); err == nil && !bytes.Equal(d.Encode(nil), b) {
			t.Fatalf("%x is not what %s encodes to", b, d)
		}
	})
}

// What makes no sense is refused where it is published, and where it is told.
func TestBadInfos(t *testing.T) {
	good := Info{Key: "k", Version: hlc.Timestamp{Wall: 1}}
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Info){
		"no key":      func(x *Info) { x.Key = "" },
		"long key":    func(x *Info) { x.Key = string(make([]byte, MaxKey+1)) },
		"large value": func(x *Info) { x.Value = make([]byte, MaxValue+1) },
		"no version":  func(x *Info) { x.Version = hlc.Timestamp{} },
		"before time": func(x *Info) { x.Version.Wall = -1 },
		"negative":    func(x *Info) { x.TTL = -1 },
	} {
		x := good
		spoil(&x)
		if x.validate() == nil {
			t.Errorf("%s is accepted", name)
		}
		r := codec.NewReader(x.Encode(nil))
		if decodeInfo(r); r.Done() == nil {
			t.Errorf("%s is decoded", name)
		}
	}
}
