package history

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"
)

// shapeOf is the shape in which a history written by WriteEDN reads back.
func shapeOf(h *History) Shape {
	return map[ednForm]Shape{asTransactions: Transactions, asRegisters: Registers, asCounters: Counters, asSets: Sets}[formOf(h)]
}

// asJSONL is a history as text, to compare and to show.
func asJSONL(t interface{ Fatal(...any) }, h *History) string {
	var b bytes.Buffer
	if err := WriteJSONL(&b, h); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// forget drops what WriteEDN leaves out: what an operation saw that has no answer.
func forget(h *History) {
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Return != Never {
			continue
		}
		op.Outcome, op.Err, op.TS = Info, "", Timestamp{}
		for j := range op.Actions {
			op.Actions[j].Result = Value{}
		}
	}
}

// plainHistory has only operations of one plain form.
func plainHistory(t *rapid.T) *History {
	writes := rapid.SampledFrom([][]F{{Write, CAS}, {Increment}, {Add}}).Draw(t, "form")
	number := func(name string) Value {
		if rapid.Bool().Draw(t, name+" absent") {
			return NoKey()
		}
		return Int(rapid.Int64().Draw(t, name))
	}
	h := genHistory(t)
	for i := range h.Ops {
		op := &h.Ops[i]
		a := Action{F: Read, Key: rapid.String().Draw(t, "key")}
		switch {
		case rapid.Bool().Draw(t, "read"):
			if op.Outcome == OK && writes[0] == Add {
				a.Result = List(rapid.SliceOfN(rapid.Int64(), 0, 4).Draw(t, "list")...)
			} else if op.Outcome == OK {
				a.Result = number("seen")
			}
		default:
			a.F, a.Arg = rapid.SampledFrom(writes).Draw(t, "f"), Int(rapid.Int64().Draw(t, "arg"))
			if a.F == CAS {
				a.Expect = number("expect")
			}
			if rapid.Bool().Draw(t, "tells") {
				a.Result = number("result")
			}
		}
		op.Actions = []Action{a}
	}
	return h
}

// Every history of ours is written as Jepsen's events and reads back exactly,
// whatever it holds, in each of the forms.
func TestEDNRoundTrip(t *testing.T) {
	for name, gen := range map[string]func(*rapid.T) *History{"any": genHistory, "plain": plainHistory} {
		t.Run(name, rapid.MakeCheck(func(t *rapid.T) {
			h := gen(t)
			forget(h)
			if form := formOf(h); name == "plain" && form == asTransactions {
				t.Fatalf("no plain form holds\n%s", asJSONL(t, h))
			}
			var b bytes.Buffer
			if err := WriteEDN(&b, h); err != nil {
				t.Fatal(err)
			}
			got, err := ReadEDN(bytes.NewReader(b.Bytes()), shapeOf(h))
			if err != nil {
				t.Fatalf("%v in\n%s", err, b.String())
			}
			if want, got := asJSONL(t, h), asJSONL(t, got); want != got {
				t.Fatalf("wrote\n%s\nread\n%s\nby way of\n%s", want, got, b.String())
			}
		}))
	}
}

// Goldens of the readers and the writer: each file opens with its claim. The
// arguments of read are the shape; write takes our JSONL.
func TestJepsen(t *testing.T) {
	shapes := map[string]Shape{"registers": Registers, "transactions": Transactions, "accounts": Accounts, "sets": Sets, "counters": Counters}
	datadriven.Walk(t, "testdata/jepsen", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var h *History
			var err error
			shape := Registers
			for _, a := range d.CmdArgs {
				shape = shapes[a.Key]
			}
			switch d.Cmd {
			case "detect":
				f, err := Detect([]byte(d.Input))
				if err != nil {
					return err.Error() + "\n"
				}
				return string(f) + "\n"
			case "edn":
				h, err = ReadEDN(strings.NewReader(d.Input), shape)
			case "json":
				h, err = ReadJepsenJSON(strings.NewReader(d.Input), shape)
			case "write":
				if h, err = ReadJSONL(strings.NewReader(d.Input)); err != nil {
					return err.Error() + "\n"
				}
				var b bytes.Buffer
				if err := WriteEDN(&b, h); err != nil {
					t.Fatal(err)
				}
				return b.String()
			default:
				d.Fatalf(t, "unknown command %s", d.Cmd)
			}
			if err != nil {
				return err.Error() + "\n"
			}
			var b strings.Builder
			for i := range h.Ops {
				op := &h.Ops[i]
				fmt.Fprintf(&b, "%d %s [%d %d] %s", op.ID, op.Client, op.Call, op.Return, op.Outcome)
				for _, a := range op.Actions {
					b.WriteString("; " + a.String())
				}
				if op.Err != "" {
					b.WriteString(" (" + op.Err + ")")
				}
				b.WriteByte('\n')
			}
			return strings.ReplaceAll(b.String(), fmt.Sprint(int64(Never)), "never")
		})
	})
}

// Any bytes are a history or an error, and a history reads the same after it was
// written.
func FuzzReadJepsen(f *testing.F) {
	for _, s := range []string{
		`{:type :invoke, :f :txn :value [[:w :x 2] [:r 8 nil]], :process 0, :index 1}` + "\n" + `{:type :ok, :f :txn :value [[:w :x 2] [:r 8 [1 2]]], :process 0}`,
		`[{:process 0, :type :invoke, :f :cas, :value [1 [2 3]]} {:process 0, :type :fail, :f :cas, :error [:a "b"]}]`,
		`#jepsen.history.Op{:type :invoke, :f :transfer, :value {:from 1, :to 2, :amount 3}, :time 5}{:type :ok, :f :transfer, :time 6}`,
		`{:type :ok, :f :read, :value {0 100, 1 nil}, :process 3} {:type :info :f :kill :process :nemesis}`,
		`{"type":"invoke","f":"add","value":["k",1],"process":1}{"type":"ok","f":"add","value":["k",1],"process":1}`,
		`{:type :invoke, :id 4, :client "a", :node "n", :stale true, :f :txn, :value [[:scan "" nil {:arg {:rows [["k" 1]]}}]]}`,
	} {
		for shape := Registers; shape <= Counters; shape++ {
			f.Add([]byte(s), byte(shape), s[0] == '{' && s[1] == '"')
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, shape byte, asJSON bool) {
		read := ReadEDN
		if asJSON {
			read = ReadJepsenJSON
		}
		h, err := read(bytes.NewReader(text), Shape(shape%5))
		if err != nil {
			return
		}
		forget(h)
		var b bytes.Buffer
		if err := WriteEDN(&b, h); err != nil {
			t.Fatal(err)
		}
		again, err := ReadEDN(bytes.NewReader(b.Bytes()), shapeOf(h))
		if err != nil {
			t.Fatalf("what was written does not read: %v\n%s", err, b.String())
		}
		if want, got := asJSONL(t, h), asJSONL(t, again); want != got {
			t.Fatalf("%s\nreads after writing as\n%s\nby way of\n%s", want, got, b.String())
		}
	})
}

// The shared histories of Jepsen read without error, each in its shape.
func TestReadSharedJepsen(t *testing.T) {
	dir := SharedDir()
	if dir == "" {
		t.Skip("no folder shared/data/histories beside or above this one; set SIMULACRUM_SHARED to its parent")
	}
	for name, want := range map[string]struct {
		shape Shape
		ops   int
	}{
		"elle_paper-example": {Transactions, 4}, "elle_rw-register": {Transactions, 3}, "jepsen_bank-neg": {Accounts, 1}, "jepsen_bank": {Accounts, 321},
		"jepsen_counter": {Counters, 287}, "jepsen_long-fork": {Transactions, 2}, "jepsen_set": {Sets, 4},
		"knossos_cas-register_bad_cas-failure": {Registers, 291}, "knossos_cas-register_good_memstress3-9": {Registers, 316},
	} {
		text, err := os.ReadFile(filepath.Join(dir, "data/histories/jepsen", name+".edn"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := ReadEDN(bytes.NewReader(text), want.shape)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if len(h.Ops) != want.ops {
			t.Errorf("%s: %d operations, want %d", name, len(h.Ops), want.ops)
		}
	}
}

// The cost of reading events of Jepsen: 10,000 operations.
func BenchmarkReadEDN10k(b *testing.B) {
	h := &History{}
	for i := range 10_000 {
		h.Ops = append(h.Ops, Op{ID: i, Client: "c", Call: int64(2 * i), Return: int64(2*i + 1), Outcome: OK, Actions: []Action{
			{F: Append, Key: "x", Arg: Int(int64(i))}, {F: Read, Key: "y", Result: List(1, 2, 3)}}})
	}
	var text bytes.Buffer
	if err := WriteEDN(&text, h); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadEDN(bytes.NewReader(text.Bytes()), Transactions); err != nil {
			b.Fatal(err)
		}
	}
}
