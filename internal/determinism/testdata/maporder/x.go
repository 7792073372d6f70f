// Claim: loops that collect and sort, count, sum, delete, fill by key or ask
// whether one exists are accepted; anything whose outcome can depend on the order
// is reported.
package maporder

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
)

type sender struct{ out []int }

func (s *sender) send(n int) { s.out = append(s.out, n) }

func accepted(m map[string]int, set map[string]bool) (bool, int) {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	var values []int
	for _, v := range m {
		if v > 3 {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	n, sum, top := 0, 0, 0
	for k, v := range m {
		if strings.HasPrefix(k, "x") {
			n++
			continue
		}
		sum += v
		top = max(top, v)
	}
	double := map[string]int{}
	for k, v := range m {
		double[k] = 2 * v
		set[strings.ToLower(k)] = true
	}
	for k, v := range m {
		if v == 0 {
			delete(m, k)
		}
	}
	for range m {
		fmt.Println("the same, n times")
	}
	found := false
	for _, v := range m {
		if v == 7 {
			found = true
			break
		}
	}
	for k := range m {
		if set[k] {
			return true, 0
		}
	}
	for _, v := range m { // a break that leaves the inner loop alone
		for i := 0; i < v; i++ {
			if i == 3 {
				break
			}
			n++
		}
	}
	for _, s := range map[int]*sender{} {
		s.out = s.out[:0]
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		_ = k
	}
	return found, n + sum + top
}

func reported(m map[string]int, s *sender, f map[string]float64) (string, float64) {
	for _, v := range m { // want "range over a map: its body calls something.*collect the keys"
		s.send(v)
	}
	var keys []string
	var unsorted []string
	for k := range m { // want "it appends to unsorted, which is not sorted afterwards"
		unsorted = append(unsorted, k)
	}
	var keysOfAll []string
	for k := range m { // want "it appends to keysOfAll, which is not sorted"
		keysOfAll = append(keysOfAll, k)
	}
	sort.Strings(keys)
	last := ""
	for k := range m { // want "it assigns to a variable that outlives the element"
		last = k
	}
	total := 0.0
	for _, v := range f { // want "it accumulates something other than integers"
		total += v
	}
	for k := range m { // want "it returns something of the element it came to first"
		if k != "" {
			return k, total
		}
	}
	for k := range maps.Keys(m) { // want "maps.Keys: the order differs"
		keys = append(keys, k)
	}
	for _, v := range m { // want "it leaves early and has an effect before"
		if v == 7 {
			break
		}
		delete(m, "a")
	}
	for _, v := range m { // want "it ends in one way or another"
		if v == 7 {
			return "seven", 0
		}
		if v == 8 {
			return "eight", 0
		}
	}
	byValue := map[int]string{}
	for k, v := range m { // want "it assigns to a variable that outlives"
		byValue[v] = k
	}
	return last, total
}
