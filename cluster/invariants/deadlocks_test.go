package invariants

import (
	"fmt"
	"strings"
	"testing"

	"simulacrum/db/kv"
)

// Edges of circles are told from those that lead into one, out of one, or from one to
// another.
func TestCircular(t *testing.T) {
	id := func(c byte) kv.TxnID { return kv.TxnID{c} }
	for _, c := range []struct{ edges, want string }{
		{"", ""},
		{"ab bc cd", ""},
		{"ab ba", "ab ba"},
		{"ab bc ca", "ab bc ca"},
		{"xa ab ba by", "ab ba"},
		{"ab ba bc cd dc", "ab ba cd dc"},
		{"ab ab ba ac cb", "ab ac ba cb"},
		{"ab bd ac cd", ""},
	} {
		var edges []waitEdge
		for _, e := range strings.Fields(c.edges) {
			edges = append(edges, waitEdge{id(e[0]), id(e[1])})
		}
		var got []string
		for _, e := range circular(edges) {
			got = append(got, fmt.Sprintf("%c%c", e.pusher[0], e.pushee[0]))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.edges, got, c.want)
		}
	}
}
