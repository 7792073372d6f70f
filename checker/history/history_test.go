package history

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// An operation that nobody completed is Info without a Return; pointers handed
// out stay valid however far the recorder grows.
func TestRecorderLeavesOpenOpsAsInfo(t *testing.T) {
	r := NewRecorder()
	first := r.Invoke("c0", "n1", 5, Action{F: Read, Key: "x"})
	for i := 0; i < 3*chunk; i++ {
		r.Complete(r.Invoke("c1", "n2", int64(10+i), Action{F: Write, Key: "x", Arg: Int(int64(i))}), int64(11+i), OK, "", Timestamp{Wall: int64(i)})
	}
	first.Actions[0].Result = Int(7)
	h := r.History()
	if h.Ops[0].Outcome != Info || h.Ops[0].Return != Never || !h.Ops[0].Actions[0].Result.Equal(Int(7)) {
		t.Fatalf("open operation reads as %s", h.Ops[0].String())
	}
	r.Complete(first, 9000, OK, "", Timestamp{})
	h = r.History()
	if h.Ops[0].Outcome != OK || h.Ops[0].End() != 9000 {
		t.Fatalf("completed operation reads as %s", h.Ops[0].String())
	}
	for i, op := range h.Ops {
		if op.ID != i {
			t.Fatalf("operation %d has id %d", i, op.ID)
		}
	}
}

// A second answer is a bug of the workload.
func TestCompleteTwicePanics(t *testing.T) {
	r := NewRecorder()
	op := r.Invoke("c", "", 0)
	r.Complete(op, 1, Fail, "no", Timestamp{})
	defer func() {
		if recover() == nil {
			t.Fatal("a second Complete passed silently")
		}
	}()
	r.Complete(op, 2, OK, "", Timestamp{})
}

func genValue(t *rapid.T, rows bool) Value {
	n := 3
	if rows {
		n = 4
	}
	switch rapid.IntRange(0, n).Draw(t, "kind") {
	case 0:
		return Value{}
	case 1:
		return NoKey()
	case 2:
		return Int(rapid.Int64().Draw(t, "n"))
	case 3:
		return List(rapid.SliceOfN(rapid.Int64(), 0, 4).Draw(t, "list")...)
	}
	var rs []Row
	for i := rapid.IntRange(0, 3).Draw(t, "rows"); i > 0; i-- {
		v := genValue(t, false)
		if v.IsNone() {
			v = NoKey()
		}
		rs = append(rs, Row{Key: rapid.String().Draw(t, "key"), Value: v})
	}
	return Rows(rs...)
}

func genHistory(t *rapid.T) *History {
	h := &History{}
	for i := rapid.IntRange(0, 8).Draw(t, "ops"); i > 0; i-- {
		op := Op{
			ID: len(h.Ops), Client: rapid.String().Draw(t, "client"), Gateway: rapid.String().Draw(t, "gateway"),
			Call: rapid.Int64Range(0, 1e12).Draw(t, "call"), Return: Never, Outcome: Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")),
			Stale: rapid.Bool().Draw(t, "stale"), Err: rapid.String().Draw(t, "err"),
			TS: Timestamp{Wall: rapid.Int64().Draw(t, "wall"), Logical: rapid.Int32().Draw(t, "logical")},
		}
		if op.Outcome != Info || rapid.Bool().Draw(t, "gave up") {
			op.Return = op.Call + rapid.Int64Range(0, 1e12).Draw(t, "took")
		}
		for j := rapid.IntRange(0, 3).Draw(t, "actions"); j > 0; j-- {
			op.Actions = append(op.Actions, Action{F: F(rapid.IntRange(int(Read), int(Append)).Draw(t, "f")), Key: rapid.String().Draw(t, "key"),
				Arg: genValue(t, true), Expect: genValue(t, false), Result: genValue(t, true)})
		}
		h.Ops = append(h.Ops, op)
	}
	return h
}

// Reading what was written gives the same history, and writing that the same
// bytes.
func TestJSONLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := genHistory(t)
		var first, second bytes.Buffer
		if err := WriteJSONL(&first, h); err != nil {
			t.Fatal(err)
		}
		got, err := ReadJSONL(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, first.String())
		}
		if err := WriteJSONL(&second, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("wrote\n%s\nthen\n%s", first.String(), second.String())
		}
		for i := range h.Ops {
			if h.Ops[i].String() != got.Ops[i].String() {
				t.Fatalf("%s read as %s", h.Ops[i].String(), got.Ops[i].String())
			}
		}
	})
}

// Each bad line is refused with its number and what would be right.
func TestJSONLErrors(t *testing.T) {
	good := `{"id":0,"client":"c","call":1,"return":2,"outcome":"ok","actions":[]}` + "\n"
	for _, c := range []struct{ line, want string }{
		{`{"id":1`, "one JSON object"},
		{`{"id":0,"client":"c","call":1,"outcome":"info","actions":[]}`, "does not follow"},
		{`{"id":1,"client":"c","call":5,"return":4,"outcome":"ok","actions":[]}`, "before call"},
		{`{"id":1,"client":"c","call":5,"outcome":"ok","actions":[]}`, "needs a return"},
		{`{"id":1,"client":"c","call":5,"outcome":"maybe","actions":[]}`, "use ok, fail or info"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","actions":[{"f":"swap"}]}`, "use one of r w"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","ts":"7","actions":[]}`, "wall,logical"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","actions":[{"f":"r","result":1.5}]}`, "64-bit integer"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","actions":[{"f":"r","result":[null]}]}`, "integers only"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","actions":[{"f":"scan","result":{"rows":[["k"]]}}]}`, "[key, value]"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","colour":1,"actions":[]}`, "colour"},
		{`{"id":1,"client":"c","call":5,"outcome":"info","actions":[]} {}`, "one operation on a line"},
		{`{"client":"c","call":5,"outcome":"info","actions":[]}`, "required"},
	} {
		_, err := ReadJSONL(strings.NewReader(good + c.line + "\n"))
		if err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n  got error %v, want line 2 and %q", c.line, err, c.want)
		}
	}
}

// Any bytes are a history or an error, and a history survives another round.
func FuzzReadJSONL(f *testing.F) {
	f.Add([]byte(`{"id":0,"client":"c","gateway":"n","call":1,"return":2,"outcome":"ok","ts":"1,2","actions":[{"f":"scan","key":"","result":{"rows":[["a",1],["b",null]]}}]}`))
	f.Add([]byte(`{"id":3,"client":"c","call":1,"outcome":"info","stale":true,"err":"x","actions":[{"f":"cas","key":"k","arg":2,"expect":null,"result":[1,2]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := ReadJSONL(bytes.NewReader(data))
		if err != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteJSONL(&b, h); err != nil {
			t.Fatal(err)
		}
		again, err := ReadJSONL(&b)
		if err != nil {
			t.Fatalf("what was read does not read again: %v", err)
		}
		if !reflect.DeepEqual(h, again) {
			t.Fatalf("changed in a round trip: %v, %v", h, again)
		}
	})
}

// Any bytes are a log or an error.
func FuzzReadLogs(f *testing.F) {
	f.Add([]byte("INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 0\t:fail\t:cas\t[1 2]\n"))
	f.Add([]byte(`{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ReadEtcdLog(bytes.NewReader(data))
		ReadKVLog(bytes.NewReader(data))
	})
}

// The shared logs read without error, and every operation has its answer or is
// open.
func TestReadSharedLogs(t *testing.T) {
	dir := SharedDir()
	if dir == "" {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	etcd, _ := filepath.Glob(filepath.Join(dir, "data/histories/porcupine-etcd/*.log"))
	kv, _ := filepath.Glob(filepath.Join(dir, "data/histories/porcupine-kv/*.txt"))
	for _, path := range append(etcd, kv...) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		read := ReadEtcdLog
		if strings.HasSuffix(path, ".txt") {
			read = ReadKVLog
		}
		h, err := read(f)
		f.Close()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(h.Ops) < 30 {
			t.Fatalf("%s: only %d operations", path, len(h.Ops))
		}
	}
}

// Errors of the log readers name the line.
func TestLogErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"INFO  jepsen.util - 0\t:ok\t:read\t1\n", "nothing open"},
		{"INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:invoke\t:read\tnil\n", "line 2"},
		{"INFO  jepsen.util - 0\t:invoke\t:read\tnil\nINFO  jepsen.util - 0\t:ok\t:write\t1\n", "answers w"},
		{"hello\n", "line 1 is not"},
	} {
		if _, err := ReadEtcdLog(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}
