package placement

import (
	"fmt"
	"strings"
)

// Tier is one level of where something is, such as region=us-east.
type Tier struct{ Name, Value string }

// Locality is where a node stands, from the widest failure domain to the narrowest:
// region, zone, rack. The node and its disks are further tiers, which the identities
// of node and store stand for.
type Locality []Tier

// MaxTiers bounds the tiers of a locality.
const MaxTiers = 8

// DiversityUnit is the diversity of two stores that share no tier. Each number of tiers
// up to MaxTiers, with node and disk, divides it, so that scores are whole numbers.
const DiversityUnit = 2520

// ParseLocality reads region=us-east,zone=b,rack=7. Empty text is no locality.
func ParseLocality(text string) (Locality, error) {
	if text == "" {
		return nil, nil
	}
	var l Locality
	for i, part := range strings.Split(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || !isWord(key) || !isWord(value) {
			return nil, fmt.Errorf("locality %q: tier %d is %q; write key=value, such as region=us-east, of letters, digits and _ . / -", text, i+1, part)
		}
		if _, twice := l.Value(key); twice {
			return nil, fmt.Errorf("locality %q: tier %q stands twice; name each tier once, the widest first", text, key)
		}
		l = append(l, Tier{key, value})
	}
	if len(l) > MaxTiers {
		return nil, fmt.Errorf("locality %q: %d tiers; at most %d are possible", text, len(l), MaxTiers)
	}
	return l, nil
}

// String prints what ParseLocality reads.
func (l Locality) String() string {
	parts := make([]string, len(l))
	for i, t := range l {
		parts[i] = t.Name + "=" + t.Value
	}
	return strings.Join(parts, ",")
}

// Value is the value of a tier.
func (l Locality) Value(name string) (string, bool) {
	for _, t := range l {
		if t.Name == name {
			return t.Value, true
		}
	}
	return "", false
}

// has reports that l has all the tiers of part, wherever they stand.
func (l Locality) has(part Locality) bool {
	for _, t := range part {
		if v, ok := l.Value(t.Name); !ok || v != t.Value {
			return false
		}
	}
	return true
}

// shared is the number of leading tiers that two localities have in common.
func (l Locality) shared(other Locality) int {
	n := min(len(l), len(other))
	for i := range n {
		if l[i] != other[i] {
			return i
		}
	}
	return n
}

// diversity says how far apart two stores are: DiversityUnit if they share nothing, in
// equal steps down to 0 for the same disk.
func diversity(a, b *Store) int64 {
	return apart(a.Locality.shared(b.Locality), len(a.Locality), len(b.Locality), a.Node == b.Node, a.ID == b.ID)
}

// apart is the diversity of two stores whose localities have la and lb tiers and
// share the first ones.
func apart(shared, la, lb int, sameNode, sameStore bool) int64 {
	levels := max(la, lb) + 2
	switch {
	case shared < la || shared < lb:
	case sameStore:
		return 0
	case sameNode:
		shared++
	}
	return int64(levels-shared) * DiversityUnit / int64(levels)
}

// isWord reports that s can stand in a locality or constraint.
func isWord(s string) bool {
	for i := range len(s) {
		if !wordByte(s[i]) {
			return false
		}
	}
	return s != "" && s[0] != '-'
}

func wordByte(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '_' || b == '.' || b == '/' || b == '-'
}
