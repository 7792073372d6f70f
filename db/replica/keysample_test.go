package replica

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// TestSampledKeyDividesTheLoad claims: the key at which a busy range is divided leaves at least
// a quarter of the requests on each side, wherever they go; and where no key does, since all
// go to one key or all scan everything, the range stays as it is.
func TestSampledKeyDividesTheLoad(t *testing.T) {
	d := &kv.RangeDescriptor{RangeID: 7, StartKey: keys.ClientStart, EndKey: keys.Max}
	key := func(n int) keys.Key { return fmt.Appendf(keys.ClientStart.Clone(), "k%03d", n) }
	for _, c := range []struct {
		name    string
		request func(r *rand.Rand) kv.Request
		divided bool
	}{
		{"even", func(r *rand.Rand) kv.Request { return &kv.GetRequest{Key: key(r.IntN(100))} }, true},
		{"skewed", func(r *rand.Rand) kv.Request {
			return &kv.PutRequest{Key: key(min(r.IntN(100), r.IntN(100), r.IntN(100)))}
		}, true},
		{"short scans", func(r *rand.Rand) kv.Request {
			n := r.IntN(100)
			return &kv.ScanRequest{Key: key(n), EndKey: key(n + 3)}
		}, true},
		{"one key", func(*rand.Rand) kv.Request { return &kv.GetRequest{Key: key(50)} }, false},
		{"long scans", func(r *rand.Rand) kv.Request {
			return &kv.ScanRequest{Key: key(r.IntN(20)), EndKey: key(100)}
		}, false},
	} {
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, 1))
			s := &keySample{rand: r}
			var all []keys.Span
			for range 2000 {
				q := c.request(r)
				all = append(all, q.Span())
				s.note(&kv.BatchRequest{Requests: []kv.Request{q}})
			}
			best := s.best(d)
			if (best != nil) != c.divided {
				t.Fatalf("%s, seed %d: divided at %s", c.name, seed, best)
			}
			if best == nil {
				continue
			}
			of := candidate{key: best}
			for _, span := range all {
				of.count(span)
			}
			if 5*min(of.left, of.right) < int64(len(all)) {
				t.Errorf("%s, seed %d: %s has %d of %d requests on its left and %d on its right", c.name, seed, best, of.left, len(all), of.right)
			}
		}
	}
}
