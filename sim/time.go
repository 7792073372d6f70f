package sim

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Time is the one true time of a simulation, in nanoseconds since the run began.
// Simulated code never sees it: it reads its node's own clocks.
type Time int64

// Add returns t + d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns t - u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Seconds is t in seconds, for plots.
func (t Time) Seconds() float64 { return float64(t) / 1e9 }

// String prints t as T+12.345s, to the millisecond, or to the nanosecond where
// that is needed to parse back to the same time.
func (t Time) String() string {
	sign := ""
	if t < 0 {
		sign, t = "-", -t
	}
	s, ns := int64(t)/1e9, int64(t)%1e9
	if ns%1e6 == 0 {
		return fmt.Sprintf("T%s+%d.%03ds", sign, s, ns/1e6)
	}
	return fmt.Sprintf("T%s+%d.%09ds", sign, s, ns)
}

// ParseTime reads what String prints, and any T+DURATION that time.ParseDuration
// knows; the T+ may be left out.
func ParseTime(s string) (Time, error) {
	body := strings.TrimPrefix(s, "T")
	sign := Time(1)
	if strings.HasPrefix(body, "-+") {
		body, sign = body[2:], -1
	}
	body = strings.TrimPrefix(body, "+")
	d, err := time.ParseDuration(body)
	if err != nil {
		if f, ferr := strconv.ParseFloat(body, 64); ferr == nil {
			return sign * Time(f*1e9), nil
		}
		return 0, fmt.Errorf("time %q: want T+12.345s", s)
	}
	return sign * Time(d), nil
}
