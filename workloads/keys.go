package workloads

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"simulacrum/checker/history"
)

// The key space is cut into slots, one for each range, and each slot holds a few
// keys of every part, so that a fault of one range is felt by all parts:
//
//	s00/ctr/000           a counter
//	s00/reg/000, /012 ..  registers; register i lies in slot i mod slots
//	s00/set/00000007 ..   elements of this slot's set, one key each
//	s01/...               <- a split

// slotPrefix is what every key of a slot begins with.
func slotPrefix(slot int) string { return fmt.Sprintf("s%02d/", slot) }

func registerKey(slots, i int) string { return fmt.Sprintf("%sreg/%03d", slotPrefix(i%slots), i) }
func counterKey(slots, i int) string  { return fmt.Sprintf("%sctr/%03d", slotPrefix(i%slots), i) }
func setName(slot int) string         { return slotPrefix(slot) + "set" }

func elementKey(slot int, n int64) string { return fmt.Sprintf("%s/%08d", setName(slot), n) }

// spanOf is the span of all keys below a name: name/ to name0, since '0' follows
// '/'.
func spanOf(name string) (key, end []byte) { return []byte(name + "/"), []byte(name + "0") }

// EncodeInt is how registers and elements are stored: in decimal.
func EncodeInt(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// Decode reads a stored value back: a nil one is the absent value. Versions that
// were applied by the database are turned into a checker's with it. The database
// stores counters as eight bytes, the most significant first, and these cannot be
// taken for a decimal number, since the first one is 0 or 255.
func Decode(value []byte) (history.Value, error) {
	if value == nil {
		return history.NoKey(), nil
	}
	if len(value) == 8 && (value[0] == 0 || value[0] == 0xff) {
		return history.Int(int64(binary.BigEndian.Uint64(value))), nil
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return history.Value{}, fmt.Errorf("%q is no value that a workload writes", value)
	}
	return history.Int(n), nil
}

// element is the number in the last part of an element's key.
func element(key []byte) (int64, error) {
	s := string(key)
	n, err := strconv.ParseInt(s[strings.LastIndexByte(s, '/')+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no key of an element", s)
	}
	return n, nil
}

// exponential draws a time with the given mean, by integers alone: the sum of a
// geometric number of halvings and the part of the last one.
func exponential(r *rand.Rand, mean time.Duration) time.Duration {
	if mean <= 0 {
		return 0
	}
	halvings := int64(bits.TrailingZeros64(r.Uint64() | 1<<40))
	part := int64(r.Uint32() >> 12) // of 2^20
	// One and a half such units are drawn on average: two thirds of the mean each.
	return mean / 1000 * time.Duration(667*(halvings<<20+part)>>20)
}

// hotOr draws one of n, and with a chance of percent one of the first hot.
func hotOr(r *rand.Rand, n, hot, percent int) int {
	if hot > 0 && r.IntN(100) < percent {
		return r.IntN(min(hot, n))
	}
	return r.IntN(n)
}

// weighted draws an index with the given weights. All zero: 0.
func weighted(r *rand.Rand, weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	if total == 0 {
		return 0
	}
	at := r.IntN(total)
	for i, w := range weights {
		if at < w {
			return i
		}
		at -= w
	}
	return 0
}
