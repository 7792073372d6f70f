package sim

import "math/rand/v2"

// streams are the named random streams of a run. A stream depends on the seed and
// its own name alone: a draw more in one place shifts no other place, and that is
// what makes a shrunk plan fail the same way.
type streams struct {
	seed   uint64
	byName map[string]*stream // looked up only; order comes from list
	list   []*stream
}

type stream struct {
	name string
	pcg  *rand.PCG
	rand *rand.Rand
}

func newStreams(seed uint64) streams {
	return streams{seed: seed, byName: map[string]*stream{}}
}

func (s *streams) get(name string) *rand.Rand {
	if st, ok := s.byName[name]; ok {
		return st.rand
	}
	st := &stream{name: name, pcg: rand.NewPCG(derive(s.seed, name))}
	st.rand = rand.New(st.pcg)
	s.byName[name] = st
	s.list = append(s.list, st)
	return st.rand
}

// reseed derives every stream anew, in place: holders of a *rand.Rand go on with it.
func (s *streams) reseed(seed uint64) {
	s.seed = seed
	for _, st := range s.list {
		st.pcg.Seed(derive(seed, st.name))
	}
}

// derive maps (seed, name) to the two words of a PCG state.
func derive(seed uint64, name string) (uint64, uint64) {
	h := mix(seed ^ hashString(name))
	return h, mix(h + 0x9e3779b97f4a7c15)
}

// Derive is the seed of the sub-simulation or generator of the given name: for
// code that expands a seed into a plan before a Sim exists.
func Derive(seed uint64, name string) *rand.Rand { return rand.New(rand.NewPCG(derive(seed, name))) }

// mix is the finalizer of splitmix64 (Steele, Lea, Flood 2014): each input bit
// changes about half of the output bits.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// hashString hashes eight bytes at a time: labels are hashed once an event.
func hashString(s string) uint64 {
	h := uint64(len(s)) * 0x9e3779b97f4a7c15
	for len(s) >= 8 {
		w := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		h = (h ^ w) * 0xff51afd7ed558ccd
		h ^= h >> 32
		s = s[8:]
	}
	var w uint64
	for i := 0; i < len(s); i++ {
		w |= uint64(s[i]) << (8 * i)
	}
	h = (h ^ w) * 0xff51afd7ed558ccd
	return h ^ h>>29
}
