package replica

import (
	"fmt"
	"math/rand/v2"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
)

// keySample looks for the key at which a busy range is divided best. Of the keys that
// requests begin at it keeps a few, each with the same chance (a reservoir), and counts for
// each how many of the requests that came later are on its left, on its right, and on both
// sides: those would have to go to two ranges.
type keySample struct {
	rand  *rand.Rand
	began time.Duration // Mono
	seen  int64
	keys  []candidate
}

// candidate is a key and what was seen on either side of it.
type candidate struct {
	key               keys.Key
	left, right, both int64
}

const (
	sampleSize = 20
	// sampleFor is how long requests are looked at before anything is concluded from them,
	// and sampleLeast how many there must be.
	sampleFor   = 5 * time.Second
	sampleLeast = 50
)

// note takes in the spans of a batch.
func (s *keySample) note(ba *kv.BatchRequest) {
	for _, q := range ba.Requests {
		if m := q.Method(); !m.Reads() && !m.Intents() {
			continue
		}
		span := q.Span()
		if span.Key.Less(keys.LocalEnd) {
			continue
		}
		s.seen++
		for i := range s.keys {
			s.keys[i].count(span)
		}
		switch n := s.seen; {
		case len(s.keys) < sampleSize:
			s.keys = append(s.keys, candidate{key: span.Key})
		default:
			if i := s.rand.Int64N(n); i < sampleSize {
				s.keys[i] = candidate{key: span.Key}
			}
		}
	}
}

func (c *candidate) count(s keys.Span) {
	switch {
	case !s.Key.Less(c.key):
		c.right++
	case s.IsPoint() || !c.key.Less(s.EndKey):
		c.left++
	default:
		c.both++
	}
}

// best is the key with the most even load on its sides, of those that a range may begin
// at; nil if there is none that is worth it: where one side has less than a quarter of the
// requests, or a third of them would go to both, little is gained.
func (s *keySample) best(d *kv.RangeDescriptor) keys.Key {
	var best keys.Key
	least := int64(1000)
	for i := range s.keys {
		c := &s.keys[i]
		all := c.left + c.right + c.both
		if all < sampleLeast || !d.StartKey.Less(c.key) || !d.ContainsKey(c.key) || kv.CheckSplitKey(c.key) != nil {
			continue
		}
		smaller := min(c.left, c.right)
		if off := 1000 - 2000*smaller/all; 4*smaller >= all && 3*c.both < all && off < least {
			best, least = c.key, off
		}
	}
	return best
}

// SampleKeys says whether the requests of the replica are to be sampled, and returns the key
// that divides them best, nil while none is known.
func (r *Replica) SampleKeys(on bool) keys.Key {
	switch {
	case !on:
		r.sample = nil
		return nil
	case r.sample == nil:
		r.sample = &keySample{rand: r.cfg.Env.Rand(fmt.Sprintf("replica/r%d/sample", r.rangeID)), began: r.cfg.Env.Mono()}
	}
	if r.cfg.Env.Mono()-r.sample.began < sampleFor {
		return nil
	}
	return r.sample.best(r.state.Desc)
}
