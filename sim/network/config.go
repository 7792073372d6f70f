package network

import (
	"strings"
	"time"
)

// Location is where an endpoint stands.
type Location struct{ Region, Zone string }

// Config is what all links have in common. Zero fields mean the defaults.
type Config struct {
	// Decode has every message encoded into a frame, parsed, checked and decoded,
	// so that the receiver gets a copy. Without it, it gets the same memory.
	Decode bool
	// Routes gives the round trip between regions; the first that fits counts.
	// Default: DefaultRoutes.
	Routes []Route
	// FarRTT is the round trip between regions that Routes does not name. Default:
	// 150 ms.
	FarRTT time.Duration
	// Bandwidth is of each directed link within a region, WideBandwidth between
	// regions, in bytes a second. Defaults: 1.25 GB/s and 125 MB/s.
	Bandwidth, WideBandwidth int64
	// RTO is the shortest retransmission time-out. Default: 200 ms.
	RTO time.Duration
	// SynRTO is the time until a lost dial is tried again; it doubles. Default: 1 s.
	SynRTO time.Duration
	// DialTimeout is when a dial without answer fails. Default: 5 s.
	DialTimeout time.Duration
	// Timeout is when a connection breaks that gets no acknowledgement. Default:
	// 15 s.
	Timeout time.Duration
	// Window is how many bytes of one direction of a connection may be on their way
	// or unread; a single larger message may. Default: 4 MiB.
	Window int64
}

// Route is the round trip between two regions, either way. Names are prefixes:
// "us-east" fits us-east1 as well.
type Route struct {
	A, B     string
	Min, Max time.Duration // each link draws its base once, between half of these
}

// DefaultRoutes are round trips as cloud providers publish them.
func DefaultRoutes() []Route {
	ms := func(a, b string, lo, hi int) Route {
		return Route{A: a, B: b, Min: time.Duration(lo) * time.Millisecond, Max: time.Duration(hi) * time.Millisecond}
	}
	return []Route{
		ms("us-east", "us-west", 63, 66),
		ms("us-east", "us-east", 10, 14),
		ms("us-west", "us-west", 18, 25),
		ms("us-east", "europe", 64, 87),
		ms("us-west", "europe", 132, 146),
		ms("us-east", "asia", 155, 164),
		ms("us-west", "asia", 90, 143),
		ms("us-east", "australia", 198, 214),
		ms("us-west", "australia", 156, 186),
		ms("europe", "europe", 13, 13),
		ms("europe", "asia", 222, 243),
		ms("europe", "australia", 250, 274),
		ms("asia", "australia", 113, 115),
		ms("asia", "asia", 30, 40),
	}
}

func (c Config) withDefaults() Config {
	if c.Routes == nil {
		c.Routes = DefaultRoutes()
	}
	setDefault(&c.FarRTT, 150*time.Millisecond)
	setDefault(&c.Bandwidth, 1_250_000_000)
	setDefault(&c.WideBandwidth, 125_000_000)
	setDefault(&c.RTO, 200*time.Millisecond)
	setDefault(&c.SynRTO, time.Second)
	setDefault(&c.DialTimeout, 5*time.Second)
	setDefault(&c.Timeout, 15*time.Second)
	setDefault(&c.Window, 4<<20)
	return c
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// distance is what a pair of locations makes of a link: the bounds between which
// its one-way base is drawn, and the scale of its jitter.
type distance struct {
	min, max, jitter time.Duration
	wide             bool
}

func (c *Config) distance(a, b Location) distance {
	switch {
	case a == b:
		return distance{min: 50 * time.Microsecond, max: 50 * time.Microsecond, jitter: 20 * time.Microsecond}
	case a.Region == b.Region:
		return distance{min: 500 * time.Microsecond, max: 700 * time.Microsecond, jitter: 300 * time.Microsecond}
	}
	lo, hi := c.FarRTT, c.FarRTT
	for _, r := range c.Routes {
		if r.fits(a.Region, b.Region) || r.fits(b.Region, a.Region) {
			lo, hi = r.Min, r.Max
			break
		}
	}
	return distance{min: lo / 2, max: hi / 2, jitter: max(lo/40, 100*time.Microsecond), wide: true}
}

func (r *Route) fits(a, b string) bool {
	return strings.HasPrefix(a, r.A) && strings.HasPrefix(b, r.B)
}
