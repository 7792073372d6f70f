package placement

import (
	"math/bits"
)

// Dimension is one thing that stores should have about equally much of.
type Dimension uint8

// The dimensions. Ranges, Bytes and Writes go with a replica, the others with the lease.
const (
	Ranges Dimension = iota
	Bytes
	Writes
	Leases
	Requests
	CPU
	numDimensions
)

// String is the dimension's name.
func (d Dimension) String() string {
	return [...]string{"ranges", "bytes", "writes", "leases", "requests", "CPU"}[d]
}

// amounts are how much there is in each dimension.
type amounts [numDimensions]int64

func amountsOf(s *Store) amounts {
	return amounts{Ranges: s.Ranges, Bytes: s.Used, Writes: s.Load.Writes, Leases: s.Leases, Requests: s.Load.Requests, CPU: s.Load.CPU}
}

func (a *amounts) fill(s *Store) {
	s.Ranges, s.Used, s.Leases = a[Ranges], a[Bytes], a[Leases]
	s.Load = Load{Requests: a[Requests], CPU: a[CPU], Writes: a[Writes]}
}

// ofReplica and ofLease are what moves with a replica, and with the lease.
func (r *Range) ofReplica() amounts {
	return amounts{Ranges: 1, Bytes: r.Size, Writes: r.Load.Writes}
}

func (r *Range) ofLease() amounts {
	return amounts{Leases: 1, Requests: r.Load.Requests, CPU: r.Load.CPU}
}

// balance is how much each store holds, and how much is right.
type balance struct {
	held      []amounts
	capacity  []int64
	counted   []bool // belongs to the mean
	sum       amounts
	members   int64 // stores that belong to the mean
	bands     [numDimensions]band
	penalties [][numDimensions]int64
}

// band is where a store's amount is right.
type band struct {
	mean, half int64
}

func (b *balance) init(c *Cluster) {
	n := len(c.stores)
	b.held, b.capacity = make([]amounts, n), make([]int64, n)
	b.counted, b.penalties = make([]bool, n), make([][numDimensions]int64, n)
	for i := range c.stores {
		s := &c.stores[i]
		b.held[i], b.capacity[i], b.counted[i] = amountsOf(s), s.Capacity, s.Status.balanced()
		if b.counted[i] {
			b.members++
			b.grow(&b.sum, &b.held[i], 1)
		}
	}
	b.measure(&c.Settings)
}

func (b *balance) grow(a, by *amounts, sign int64) {
	for d := range numDimensions {
		a[d] += sign * by[d]
	}
}

// measure computes the bands, and how far each store is outside them.
func (b *balance) measure(s *Settings) {
	widths := [numDimensions]Band{Ranges: s.Ranges, Leases: s.Leases, Requests: s.Requests, CPU: s.CPU, Writes: s.Writes}
	for d := range numDimensions {
		mean := b.sum[d] / max(b.members, 1)
		b.bands[d] = band{mean, max(mean/1000*widths[d].Share+mean%1000*widths[d].Share/1000, widths[d].Min)}
	}
	for i := range b.held {
		for d := range numDimensions {
			b.penalties[i][d] = b.penalty(s, i, d, b.held[i][d])
		}
	}
}

// penalty is the square of how far an amount is outside the band of its dimension, in
// millionths of the mean. The square makes a move between two stores on the same side
// of the band worth while, as is needed where constraints or diversity divide the
// stores: their share of the cluster may be above the mean as a whole. Bytes count only
// where the disk becomes full, in millionths of its capacity: half-empty disks may
// differ.
func (b *balance) penalty(s *Settings, i int, d Dimension, amount int64) int64 {
	if !b.counted[i] {
		return 0
	}
	w, unit := b.bands[d], max(b.bands[d].mean, 1)
	outside := max(amount-w.mean-w.half, w.mean-w.half-amount)
	if d == Bytes {
		if unit = b.capacity[i]; unit <= 0 {
			return 0
		}
		outside = amount - share(unit, s.FullRebalance)
	}
	if outside <= 0 {
		return 0
	}
	e := ratio(outside, 1_000_000, unit)
	return e * e
}

// share is n thousandths of amount.
func share(amount, n int64) int64 { return amount/1000*n + amount%1000*n/1000 }

// maxRatio bounds a ratio, so that sums of squares of a few stores fit.
const maxRatio = 100_000_000

// ratio is a × scale / b, at most maxRatio.
func ratio(a, scale, b int64) int64 {
	hi, lo := bits.Mul64(uint64(a), uint64(scale))
	if hi >= uint64(b) {
		return maxRatio
	}
	q, _ := bits.Div64(hi, lo, uint64(b))
	return int64(min(q, maxRatio))
}

// fullness is how full a disk is when it holds the amount, in thousandths.
func (b *balance) fullness(i int, amount int64) int64 {
	if b.capacity[i] <= 0 {
		return 0
	}
	return ratio(max(amount, 0), 1000, b.capacity[i])
}

// shift is what moves from one store to another.
type shift struct {
	from, to int
	what     amounts
}

// gain judges what moves together; no dimension is in two of the shifts. It is worth
// while if it lessens the imbalance in some dimension, in which source and target are
// far enough apart, and worsens it in none. dim is the first such dimension; relief is by
// how much the imbalance shrinks in all.
func (b *balance) gain(s *Settings, shifts ...shift) (dim Dimension, relief int64, ok bool) {
	dim = numDimensions
	for _, m := range shifts {
		for d, w := range m.what {
			if w == 0 {
				continue
			}
			d := Dimension(d)
			from, to := b.held[m.from][d], b.held[m.to][d]
			delta := b.penalty(s, m.from, d, from-w) - b.penalties[m.from][d] +
				b.penalty(s, m.to, d, to+w) - b.penalties[m.to][d]
			if delta > 0 {
				return 0, 0, false
			}
			if delta < 0 && b.farEnough(d, from, to) {
				dim = min(dim, d)
			}
			relief -= delta
		}
	}
	return dim, relief, dim != numDimensions
}

// farEnough reports that two amounts are so different that noise does not explain it:
// by half of the band, or by all of it if they lie on the same side of the band, where
// only their difference speaks for a move.
func (b *balance) farEnough(d Dimension, from, to int64) bool {
	w := b.bands[d]
	if d == Bytes {
		return true // the source is nearly full, and the target has room
	}
	if to > w.mean+w.half || from < w.mean-w.half {
		return from-to >= 2*w.half
	}
	return from-to >= w.half
}

// move changes what two stores hold; -1 is no store.
func (b *balance) move(s *Settings, m shift) {
	if m.from >= 0 {
		b.grow(&b.held[m.from], &m.what, -1)
		if b.counted[m.from] {
			b.grow(&b.sum, &m.what, -1)
		}
	}
	if m.to >= 0 {
		b.grow(&b.held[m.to], &m.what, 1)
		if b.counted[m.to] {
			b.grow(&b.sum, &m.what, 1)
		}
	}
	b.measure(s)
}

// Imbalance is how far the stores are outside the band of a dimension: the sum of the
// penalties. Rebalancing never raises it.
func (c *Cluster) Imbalance(d Dimension) int64 {
	sum := int64(0)
	for i := range c.balance.penalties {
		sum += c.balance.penalties[i][d]
	}
	return sum
}

// Mean is the mean amount of a dimension over the stores that are balanced.
func (c *Cluster) Mean(d Dimension) int64 { return c.balance.bands[d].mean }
