package history

import "testing"

// The cost of recording: what 100,000 operations of one action take.
func BenchmarkRecord100k(b *testing.B) {
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		r := NewRecorder()
		for j := 0; j < 100_000; j++ {
			r.Complete(r.Invoke("c", "n", int64(j), Action{F: Write, Key: "k", Arg: Int(int64(j))}), int64(j)+1, OK, "", Timestamp{Wall: int64(j)})
		}
		if r.Len() != 100_000 {
			b.Fatal("operations are missing")
		}
	}
}

// Open counts what was not answered, that of dead clients included.
func TestOpen(t *testing.T) {
	r := NewRecorder()
	a := r.Invoke("c1", "n1", 1, Action{F: Read, Key: "k"})
	r.Invoke("c2", "n1", 2, Action{F: Read, Key: "k"})
	if r.Open() != 2 {
		t.Fatal(r.Open())
	}
	if r.Complete(a, 3, OK, "", Timestamp{}); r.Open() != 1 {
		t.Fatal(r.Open())
	}
}
