package kvclient

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// TestDialogues runs what is written in testdata: each file states its claim, and
// then shows who was asked what and answered what.
//
//	range r2 start=m nodes=1,2,3 holder=2     splits a range off, or changes one
//	hold r2 n=3                               gives the lease away, unannounced
//	mishap n1 busy lost                       what befalls the next requests to n1
//	send [limit=] [at=] [timeout=] [repeat]   a request a line: get k, put k v, inc k n, scan a b, rscan a b
//	cached                                    what the router knows
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "rapid") || strings.Contains(path, "txn") {
			return
		}
		f := newFakeCluster(t, 1)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f.log.Reset()
			switch d.Cmd {
			case "range":
				f.setRange(t, d)
			case "hold":
				for _, r := range f.ranges {
					if r.desc.RangeID == rangeID(t, d.CmdArgs[0].Key) {
						r.seq++
						var n int
						d.ScanArgs(t, "n", &n)
						r.holder = kv.NodeID(n)
					}
				}
			case "mishap":
				n, _ := strconv.Atoi(d.CmdArgs[0].Key[1:])
				for _, a := range d.CmdArgs[1:] {
					f.mishap[kv.NodeID(n)] = append(f.mishap[kv.NodeID(n)], a.Key)
				}
			case "send":
				f.metas = d.HasArg("metas")
				ba := &kv.BatchRequest{Requests: parseRequests(t, d.Input)}
				if d.HasArg("limit") {
					var n int
					d.ScanArgs(t, "limit", &n)
					ba.MaxKeys = int64(n)
				}
				if d.HasArg("at") {
					var s string
					d.ScanArgs(t, "at", &s)
					ts, err := hlc.Parse(s)
					if err != nil {
						t.Fatal(err)
					}
					ba.Timestamp = ts
				}
				if d.HasArg("timeout") {
					var s string
					d.ScanArgs(t, "timeout", &s)
					ba.Deadline, _ = time.ParseDuration(s)
				}
				br, took := f.do(ba)
				result := ""
				if br.Err != nil {
					result = br.Err.Error()
				} else {
					result = describe(br)
				}
				return fmt.Sprintf("%s=> %s\n(%s)\n", f.log.String(), result, took.Round(time.Millisecond))
			case "cached":
				var b strings.Builder
				for _, d := range f.router.Cached() {
					fmt.Fprintf(&b, "%s\n", d)
				}
				return b.String()
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			return "ok\n"
		})
	})
}

func rangeID(t *testing.T, s string) kv.RangeID {
	n, err := strconv.Atoi(strings.TrimPrefix(s, "r"))
	if err != nil {
		t.Fatal(err)
	}
	return kv.RangeID(n)
}

// setRange splits a range off, or changes the replicas of one.
func (f *fakeCluster) setRange(t *testing.T, d *datadriven.TestData) {
	id := rangeID(t, d.CmdArgs[0].Key)
	if d.HasArg("start") {
		var start string
		d.ScanArgs(t, "start", &start)
		f.split(keys.Key(start), id)
	}
	for _, r := range f.ranges {
		if r.desc.RangeID != id {
			continue
		}
		if arg, ok := d.Arg("nodes"); ok {
			changed := *r.desc
			changed.Replicas = nil
			changed.Generation++
			for _, s := range arg.Vals {
				n, _ := strconv.Atoi(s)
				changed.Replicas = append(changed.Replicas, kv.ReplicaDescriptor{NodeID: kv.NodeID(n), StoreID: kv.StoreID(n), ReplicaID: changed.NextReplicaID})
				changed.NextReplicaID++
			}
			r.desc = &changed
		}
		if d.HasArg("holder") {
			var n int
			d.ScanArgs(t, "holder", &n)
			r.holder = kv.NodeID(n)
			r.seq++
		}
	}
	f.writeMeta()
}

func parseRequests(t *testing.T, input string) []kv.Request {
	var all []kv.Request
	for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
		w := strings.Fields(line)
		k := keys.Key(w[1])
		switch w[0] {
		case "get":
			all = append(all, &kv.GetRequest{Key: k})
		case "put":
			all = append(all, &kv.PutRequest{Key: k, Value: []byte(w[2])})
		case "inc":
			n, _ := strconv.Atoi(w[2])
			all = append(all, &kv.IncrementRequest{Key: k, By: int64(n)})
		case "scan":
			all = append(all, &kv.ScanRequest{Key: k, EndKey: keys.Key(w[2])})
		case "rscan":
			all = append(all, &kv.ReverseScanRequest{Key: k, EndKey: keys.Key(w[2])})
		default:
			t.Fatalf("unknown request %s", line)
		}
	}
	return all
}

// Whatever goes wrong, a batch that writes and succeeded was executed once, one
// that failed definitely was not executed, and one whose outcome is unknown was
// executed at most once. This is the rule of which mutant M50 is the removal.
func TestOutcomesAreTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFakeCluster(noCleanup{}, rapid.Uint64().Draw(t, "seed"))
		defer f.s.Close()
		faults := rapid.SampledFrom([]int{0, 1, 3, 6}).Draw(t, "faults of 10")
		nextRange := kv.RangeID(2)
		anyKey := rapid.SampledFrom([]string{"a", "c", "e", "g", "i", "k", "m"})
		f.fault = func(to kv.NodeID, ba *kv.BatchRequest) string {
			if rapid.IntRange(0, 9).Draw(t, "fault?") >= faults {
				return ""
			}
			switch kind := rapid.SampledFrom([]string{"notsent", "busy", "hang", "lost", "ambiguous", "move", "split", "nobody"}).Draw(t, "fault"); kind {
			case "move", "nobody":
				r := f.find(keys.Key(anyKey.Draw(t, "where")))
				r.seq++
				r.holder = kv.NodeID(rapid.IntRange(1, 3).Draw(t, "to"))
				if kind == "nobody" {
					r.holder = 0
				}
				return ""
			case "split":
				f.split(keys.Key(anyKey.Draw(t, "where")), nextRange)
				nextRange++
				return ""
			default:
				return kind
			}
		}
		ambiguous := 0
		for id := uint64(1); id <= 12; id++ {
			ba := &kv.BatchRequest{Header: kv.Header{ID: id, Deadline: 5 * time.Second}}
			for range rapid.IntRange(1, 2).Draw(t, "requests") {
				ba.Requests = append(ba.Requests, &kv.IncrementRequest{Key: keys.Key(anyKey.Draw(t, "key")), By: 1})
			}
			br, took := f.do(ba)
			runs := f.runs[id]
			switch {
			case took > 5*time.Second:
				t.Fatalf("%s took %s", ba, took)
			case br.Err == nil && runs != 1 || br.Err != nil && !br.Err.Ambiguous() && runs != 0 || runs > 1:
				t.Fatalf("%s was executed %d times: %v", ba, runs, br.Err)
			case br.Err != nil && br.Err.Ambiguous():
				ambiguous++
			}
			if faults == 0 && br.Err != nil && br.Err.Kind != kv.BatchCrossesRanges {
				t.Fatalf("%s failed for no reason: %v", ba, br.Err)
			}
			for _, r := range f.ranges { // a lease comes back
				if r.holder == 0 {
					r.holder, r.seq = 1, r.seq+1
				}
			}
		}
		// With the faults over, reads of everything succeed, whatever is cached.
		f.fault = nil
		limit := int64(rapid.IntRange(0, 5).Draw(t, "limit"))
		all, _ := f.scan(keys.Span{Key: keys.Key("a"), EndKey: keys.Key("z")}, false, 0, new(int64))
		for _, request := range []kv.Request{&kv.ScanRequest{Key: keys.Key("a"), EndKey: keys.Key("z")}, &kv.ReverseScanRequest{Key: keys.Key("a"), EndKey: keys.Key("z")}} {
			var got []kv.KeyValue
			for next := request; ; {
				br, _ := f.do(&kv.BatchRequest{Header: kv.Header{MaxKeys: limit}, Requests: []kv.Request{next}})
				if br.Err != nil {
					t.Fatalf("%s: %v", request.Method(), br.Err)
				}
				rows, resume := kv.ScanResult(br.Responses[0])
				if got = append(got, rows...); resume.IsPoint() {
					break
				}
				if int64(len(rows)) != limit {
					t.Fatalf("%d rows of %d, and yet more at %s", len(rows), limit, resume)
				}
				next = kv.WithSpan(request, resume)
			}
			if len(got) != len(all) {
				t.Fatalf("%s: %d rows instead of %d", request.Method(), len(got), len(all))
			}
			for i := range got {
				want := all[i]
				if request.Method() == kv.ReverseScan {
					want = all[len(all)-1-i]
				}
				if !got[i].Key.Equal(want.Key) {
					t.Fatalf("%s: %s instead of %s", request.Method(), got[i].Key, want.Key)
				}
			}
		}
	})
}

// noCleanup is for clusters that are closed by hand.
type noCleanup struct{ testing.TB }

func (noCleanup) Cleanup(func()) {}

// Many tasks that miss the same range read meta2 once.
func TestLookupsCoalesce(t *testing.T) {
	f := newFakeCluster(t, 1)
	f.split(keys.Key("m"), 2)
	f.metas = true
	done := 0
	for range 50 {
		f.p.Go("get", func(task env.Task) {
			if br := f.router.Send(task, &kv.BatchRequest{Requests: []kv.Request{&kv.GetRequest{Key: keys.Key("x")}}}); br.Err == nil {
				done++
			}
		})
	}
	f.do(&kv.BatchRequest{Requests: []kv.Request{&kv.GetRequest{Key: keys.Key("x")}}})
	if n := strings.Count(f.log.String(), "/Meta2"); done != 50 || n > 4 {
		t.Fatalf("%d done, meta2 mentioned %d times:\n%s", done, n, f.log.String())
	}
}

// The cache agrees with the plain rule: of overlapping descriptors the newest
// generation counts, and entries never overlap.
func TestCache(t *testing.T) {
	bounds := []keys.Key{keys.Min, keys.Key("b"), keys.Key("d"), keys.Key("f"), keys.Key("h"), keys.Max}
	rapid.Check(t, func(t *rapid.T) {
		var c cache
		for step := range 20 {
			i := rapid.IntRange(0, len(bounds)-2).Draw(t, "from")
			j := rapid.IntRange(i+1, len(bounds)-1).Draw(t, "to")
			d := descriptor(kv.RangeID(step+1), bounds[i], bounds[j], rapid.Int64Range(0, 9).Draw(t, "generation"), 1)
			newer := true
			for _, e := range c.entries {
				if e.desc.Span().Overlaps(d.Span()) && e.desc.Generation >= d.Generation {
					newer = false
				}
			}
			if c.insert(d) != newer {
				t.Fatalf("%s taken in: %v", d, !newer)
			}
			if newer && c.find(d.StartKey).desc != d {
				t.Fatalf("%s is not found", d)
			}
			for i, e := range c.entries {
				if i > 0 && e.desc.StartKey.Less(c.entries[i-1].desc.EndKey) {
					t.Fatalf("%s overlaps %s", e.desc, c.entries[i-1].desc)
				}
				if c.findBelow(e.desc.EndKey) != e || c.find(e.desc.StartKey) != e {
					t.Fatalf("%s is not found by its ends", e.desc)
				}
			}
			if rapid.IntRange(0, 4).Draw(t, "evict?") == 0 {
				e := c.entries[rapid.IntRange(0, len(c.entries)-1).Draw(t, "which")]
				if c.evict(e); c.find(e.desc.StartKey) != nil {
					t.Fatal("evicted, and still found")
				}
			}
		}
	})
}
