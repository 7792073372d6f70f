package disk

import (
	"math/rand/v2"
	"time"
)

// Config describes a disk. The zero Config is an NVMe drive of 1 TiB.
type Config struct {
	Profile  Profile
	Capacity int64 // bytes; 0 means 1 TiB

	// JournalLimit is how many directory operations may be pending before the
	// older half becomes durable by itself; 0 means 1,024.
	JournalLimit int
}

func (c Config) withDefaults() Config {
	if c.Profile == (Profile{}) {
		c.Profile = NVMe()
	}
	if c.Capacity == 0 {
		c.Capacity = 1 << 40
	}
	if c.JournalLimit == 0 {
		c.JournalLimit = 1024
	}
	return c
}

// Profile is how fast a device makes things durable.
type Profile struct {
	Name           string
	Sync           time.Duration // median of one sync, without its bytes
	SyncP99        time.Duration // 99th percentile; the slowest takes four times as long
	BytesPerSecond int64         // of writing; 0: without limit
	Channels       int           // syncs served side by side; 0 means 1
}

// NVMe is a fast local drive.
func NVMe() Profile {
	return Profile{"nvme", 200 * time.Microsecond, 260 * time.Microsecond, 2 << 30, 4}
}

// SSD is an ordinary solid-state drive, or a good network volume.
func SSD() Profile {
	return Profile{"ssd", 700 * time.Microsecond, 2 * time.Millisecond, 500 << 20, 2}
}

// Spinning is a disk with a head.
func Spinning() Profile {
	return Profile{"spinning", 10 * time.Millisecond, 25 * time.Millisecond, 150 << 20, 1}
}

// draw returns the time that one sync of n bytes takes. The distribution is given
// by four quantiles, with straight lines between them: whole numbers, so that
// every processor draws the same.
func (p *Profile) draw(r *rand.Rand, n int64) time.Duration {
	var d time.Duration
	switch u := r.Int64N(1000); {
	case u < 500:
		d = between(p.Sync*4/5, p.Sync, u, 500)
	case u < 990:
		d = between(p.Sync, p.SyncP99, u-500, 490)
	default:
		d = between(p.SyncP99, 4*p.SyncP99, u-990, 10)
	}
	if p.BytesPerSecond > 0 {
		d += time.Duration(n * int64(time.Second) / p.BytesPerSecond)
	}
	return d
}

func between(lo, hi time.Duration, part, whole int64) time.Duration {
	return lo + time.Duration(int64(hi-lo)*part/whole)
}
