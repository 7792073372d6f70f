package recorded

import (
	"testing"
)

// Whatever a file holds, every model has a verdict on it or an error.
func FuzzJudge(f *testing.F) {
	for _, s := range []string{
		`{:type :invoke, :f :txn :value [[:w :x 2] [:r 8 nil]], :process 0, :index 1}` + "\n" + `{:type :ok, :f :txn :value [[:w :x 2] [:r 8 [1 2]]], :process 0}`,
		`[{:process 0, :type :invoke, :f :cas, :value [1 [2 3]]} {:process 0, :type :info, :f :cas, :error [:a "b"]} {:type :ok, :f :read, :value [1 3], :process 1}]`,
		`{:type :ok, :f :transfer, :value {:from 1, :to 2, :amount 3}, :time 5}{:type :ok, :f :read, :value {1 100, 2 nil}, :process 3}`,
		`{"type":"ok","f":"add","value":["k",1],"process":1}{"type":"ok","f":"read","value":["k",[1]],"process":2}`,
		`{:type :ok, :value [[:append 1 1] [:r 2 nil]]} {:type :ok, :value [[:append 2 1] [:r 1 nil]]}`,
		`{:type :invoke, :id 4, :client "a", :stale true, :f :txn, :value [[:scan "" nil {:arg {:rows [["k" 1]]}}] [:del "k" nil] [:inc "k" 1]]}`,
		`{"id":0,"client":"c","call":0,"return":10,"outcome":"ok","ts":"5,0","actions":[{"f":"w","key":"x","arg":[1]},{"f":"r","key":"x","result":{"rows":[]}},{"f":"append","key":"y"}]}`,
		`{:process 9, :type :invoke, :f :append, :key "0", :value "x 9 0 y"}`,
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, text []byte, partial bool) {
		for _, m := range Models() {
			if vs, err := judge(m.Name, text, Options{Partial: partial, Steps: 10_000}); err == nil && len(vs) == 0 {
				t.Fatalf("%s has nothing to say", m.Name)
			}
		}
	})
}
