package txn

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// Moments are sorted by timestamp and at one timestamp stay as they were, whether
// they are nearly sorted, in which case they move a few places, or far from it.
func TestMomentsAreSorted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	for _, far := range []int{0, 1, 12, 3000, 1 << 30} {
		for _, n := range []int{0, 1, 2, 700, 9000} {
			ms := make([]moment, n)
			for i := range ms {
				ms[i] = moment{wall: 1e18 + int64(i/3) + int64(r.IntN(far+1))<<r.IntN(20), logical: int32(r.IntN(5) - 2), txn: int32(i)}
			}
			want := slices.Clone(ms)
			slices.SortStableFunc(want, func(a, b moment) int {
				return cmp.Or(cmp.Compare(a.wall, b.wall), cmp.Compare(a.logical, b.logical))
			})
			digits := slices.Clone(ms)
			sortMoments(ms)
			if !slices.Equal(ms, want) {
				t.Errorf("%d moments, up to %d apart, are out of order", n, far)
			}
			if n == 0 {
				continue
			}
			if sortDigits(digits); !slices.Equal(digits, want) {
				t.Errorf("%d moments, up to %d apart, are out of order when sorted by digits", n, far)
			}
		}
	}
}
