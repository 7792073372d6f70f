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
//	s00/touch             asked for by workloads of transactions, in Setup and Final
//	s01/...               <- a split
//
// Workloads of transactions have further parts: list, acct, fork, g2, max, seq.

// slotPrefix is what every key of a slot begins with.
func slotPrefix(slot int) string { return fmt.Sprintf("s%02d/", slot) }

func registerKey(slots, i int) string { return fmt.Sprintf("%sreg/%03d", slotPrefix(i%slots), i) }
func counterKey(slots, i int) string  { return fmt.Sprintf("%sctr/%03d", slotPrefix(i%slots), i) }
func setName(slot int) string         { return slotPrefix(slot) + "set" }

// touchKey is a key of each slot that is there to be asked for.
func touchKey(slot int) string { return slotPrefix(slot) + "touch" }

// splitsOf has each slot but the first begin a range.
func splitsOf(slots int) [][]byte {
	var keys [][]byte
	for i := 1; i < slots; i++ {
		keys = append(keys, []byte(slotPrefix(i)))
	}
	return keys
}

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
	if len(value) == 0 {
		return history.Value{}, fmt.Errorf("an empty value: no workload writes one")
	}
	if len(value) == 8 && (value[0] == 0 || value[0] == 0xff) {
		return history.Int(int64(binary.BigEndian.Uint64(value))), nil
	}
	if value[0] == '[' {
		return decodeList(value)
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return history.Value{}, fmt.Errorf("%q is no value that a workload writes", value)
	}
	return history.Int(n), nil
}

// EncodeList is how lists are stored that are one value: "[1 2 3]".
func EncodeList(list []int64) []byte {
	b := []byte{'['}
	for i, n := range list {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, ']')
}

func decodeList(value []byte) (history.Value, error) {
	inner, ok := strings.CutSuffix(string(value[1:]), "]")
	list := []int64{}
	for _, part := range strings.Fields(inner) {
		n, err := strconv.ParseInt(part, 10, 64)
		ok = ok && err == nil
		list = append(list, n)
	}
	if !ok {
		return history.Value{}, fmt.Errorf("%q is no list that a workload writes", value)
	}
	return history.List(list...), nil
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
