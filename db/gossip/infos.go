package gossip

import (
	"sort"
	"strings"

	"simulacrum/db/kv"
)

// infos holds the newest info of each key, numbered in the order in which they came.
type infos struct {
	byKey map[string]*entry
	keys  []string // ascending, for those who want all of a kind

	// The entries in the order of their numbers. A change takes an entry out and
	// appends it with the next number, so that all changes after a number are the tail,
	// each key once.
	first, last *entry
	seq         uint64 // the last number that was given
	bytes       int64
}

// teller is a memory that an info came from: zero for this node's own. A node that was
// started again is another one, which has forgotten what it told.
type teller struct {
	node        kv.NodeID
	incarnation int64
}

type entry struct {
	info       Info
	seq        uint64
	from       teller // who told it first
	again      teller // who told it last, after that
	prev, next *entry
}

// toldBy reports that the peer told the info, and so need not hear it. Two tellers are
// remembered, which is enough for most that cross.
func (e *entry) toldBy(peer teller) bool {
	return peer.node != 0 && (e.from == peer || e.again == peer)
}

func newInfos() infos { return infos{byKey: map[string]*entry{}} }

// add takes x in if it is newer than what is known, and reports whether it was. from is
// who told. Of the same info told twice the shorter way is remembered.
func (s *infos) add(x Info, from teller) bool {
	e := s.byKey[x.Key]
	if e == nil {
		e = &entry{}
		s.byKey[x.Key] = e
		i := sort.SearchStrings(s.keys, x.Key)
		s.keys = append(s.keys, "")
		copy(s.keys[i+1:], s.keys[i:])
		s.keys[i] = x.Key
	} else {
		switch c := x.compare(&e.info); {
		case c < 0:
			return false
		case c == 0:
			e.info.Hops, e.again = min(e.info.Hops, x.Hops), from
			return false
		}
		s.bytes -= int64(e.info.Size())
		s.unlink(e)
	}
	s.seq++
	e.info, e.from, e.again, e.seq = x, from, teller{}, s.seq
	s.bytes += int64(x.Size())
	s.link(e)
	return true
}

func (s *infos) link(e *entry) {
	if e.prev = s.last; e.prev == nil {
		s.first = e
	} else {
		e.prev.next = e
	}
	e.next, s.last = nil, e
}

func (s *infos) unlink(e *entry) {
	if e.prev == nil {
		s.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		s.last = e.prev
	} else {
		e.next.prev = e.prev
	}
}

// get is the info of a key, expired or not.
func (s *infos) get(key string) (*Info, bool) {
	if e := s.byKey[key]; e != nil {
		return &e.info, true
	}
	return nil, false
}

// visit calls f for the infos whose keys begin with prefix, in the order of their keys,
// until it returns false. f may add infos.
func (s *infos) visit(prefix string, f func(*Info) bool) {
	i := sort.SearchStrings(s.keys, prefix)
	for i < len(s.keys) {
		key := s.keys[i]
		if !strings.HasPrefix(key, prefix) || !f(&s.byKey[key].info) {
			return
		}
		if i++; s.keys[i-1] != key {
			i = sort.SearchStrings(s.keys, key) + 1 // f added infos before this one
		}
	}
}

// news are the changes after number seq, as far as maxBytes reach, and upTo is the
// number up to which they are complete. What the peer himself told is left out. A zero
// peer is one about whom nothing is known.
func (s *infos) news(seq uint64, peer teller, maxBytes int) (list []Info, upTo uint64) {
	e, after := s.last, 0
	for ; e != nil && e.seq > seq; e = e.prev {
		after++
	}
	if after == 0 {
		return nil, s.seq
	}
	list = make([]Info, 0, after)
	if e == nil {
		e = s.first
	} else {
		e = e.next
	}
	upTo = seq
	size := 0
	for ; e != nil; e = e.next {
		if !e.toldBy(peer) {
			if size >= maxBytes {
				return list, upTo
			}
			list = append(list, e.info)
			size += e.info.Size()
		}
		upTo = e.seq
	}
	return list, s.seq
}

// hasNews reports that news would find something.
func (s *infos) hasNews(seq uint64, peer teller) bool {
	for e := s.last; e != nil && e.seq > seq; e = e.prev {
		if !e.toldBy(peer) {
			return true
		}
	}
	return false
}
