package nemesis

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// param is one name=value of a line.
type param struct {
	name string
	get  func(*Fault) string // "" when it has its default
	set  func(*Fault, string) error
}

// params lists them in the order of printing. Nothing assigns to it.
var params = []param{
	{"mode", func(f *Fault) string {
		if f.Mode == Hold {
			return "hold"
		}
		return ""
	}, func(f *Fault, s string) error {
		switch s {
		case "drop":
			f.Mode = Drop
		case "hold":
			f.Mode = Hold
		default:
			return fmt.Errorf("say drop (messages are lost) or hold (they arrive after healing)")
		}
		return nil
	}},
	durationParam("stagger", func(f *Fault) *time.Duration { return &f.Stagger }, false),
	countParam("factor", func(f *Fault) *int64 { return &f.Factor }, 2, 1_000_000),
	rateParam("rate", func(f *Fault) *int64 { return &f.Rate }),
	durationParam("by", func(f *Fault) *time.Duration { return &f.By }, true),
	countParam("ppm", func(f *Fault) *int64 { return &f.PPM }, -900_000, 900_000),
	durationParam("period", func(f *Fault) *time.Duration { return &f.Period }, false),
	rateParam("loss", func(f *Fault) *int64 { return &f.Link.Loss }),
	rateParam("dup", func(f *Fault) *int64 { return &f.Link.Duplicate }),
	rateParam("reorder", func(f *Fault) *int64 { return &f.Link.Reorder }),
	rateParam("corrupt", func(f *Fault) *int64 { return &f.Link.Corrupt }),
	durationParam("delay", func(f *Fault) *time.Duration { return &f.Link.Delay }, false),
	durationParam("jitter", func(f *Fault) *time.Duration { return &f.Link.Jitter }, false),
	{"bandwidth", func(f *Fault) string { return formatBandwidth(f.Link.Bandwidth) }, func(f *Fault, s string) error {
		n, err := parseBandwidth(s)
		f.Link.Bandwidth = n
		return err
	}},
	{"to", func(f *Fault) string { return f.To }, func(f *Fault, s string) error {
		if !isName(s) {
			return fmt.Errorf("say which node takes over, such as to=n5, or leave it out for the next in turn")
		}
		f.To = s
		return nil
	}},
	{"times", func(f *Fault) string {
		if f.Times == 1 {
			return ""
		}
		return strconv.Itoa(f.Times)
	}, func(f *Fault, s string) error {
		n, err := strconv.Atoi(s)
		if err != nil || n < 2 || n > 10_000 {
			return fmt.Errorf("say a whole number from 2 to 10000, or leave it out for once")
		}
		f.Times = n
		return nil
	}},
	durationParam("every", func(f *Fault) *time.Duration { return &f.Every }, false),
}

func durationParam(name string, at func(*Fault) *time.Duration, signed bool) param {
	return param{name, func(f *Fault) string {
		if *at(f) == 0 {
			return ""
		}
		return at(f).String()
	}, func(f *Fault, s string) error {
		d, err := parseDuration(s, signed)
		*at(f) = d
		return err
	}}
}

func countParam(name string, at func(*Fault) *int64, lo, hi int64) param {
	return param{name, func(f *Fault) string {
		if *at(f) == 0 {
			return ""
		}
		return strconv.FormatInt(*at(f), 10)
	}, func(f *Fault, s string) error {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < lo || n > hi || n == 0 {
			return fmt.Errorf("say a whole number from %d to %d, not 0", lo, hi)
		}
		*at(f) = n
		return nil
	}}
}

func rateParam(name string, at func(*Fault) *int64) param {
	return param{name, func(f *Fault) string { return formatRate(*at(f)) },
		func(f *Fault, s string) error {
			n, err := parseRate(s)
			*at(f) = n
			return err
		}}
}

// maxDuration keeps sums of durations far from overflow.
const maxDuration = 1000 * time.Hour

func parseDuration(s string, signed bool) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		return 0, fmt.Errorf("say a duration with its unit, such as 500ms or 4s")
	case d == 0:
		return 0, fmt.Errorf("a duration of 0 means nothing here: leave it out")
	case d < 0 && !signed:
		return 0, fmt.Errorf("say a duration above 0")
	case d > maxDuration || d < -maxDuration:
		return 0, fmt.Errorf("say at most %v", maxDuration)
	}
	return d, nil
}

// formatRate prints millionths as a percentage, exactly.
func formatRate(ppm int64) string {
	if ppm == 0 {
		return ""
	}
	s := fmt.Sprintf("%d.%04d", ppm/10_000, ppm%10_000)
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") + "%"
}

func parseRate(s string) (int64, error) {
	bad := fmt.Errorf("say a percentage above 0 and at most 100, with at most four decimals, such as 2.5%%")
	s, ok := strings.CutSuffix(s, "%")
	whole, frac, _ := strings.Cut(s, ".")
	if !ok || whole == "" || len(whole) > 3 || len(frac) > 4 {
		return 0, bad
	}
	n, err := strconv.ParseUint(whole+frac+"0000"[len(frac):], 10, 32)
	if err != nil || n == 0 || n > 1_000_000 {
		return 0, bad
	}
	return int64(n), nil
}

func formatBandwidth(n int64) string {
	switch {
	case n == 0:
		return ""
	case n%1_000_000 == 0:
		return strconv.FormatInt(n/1_000_000, 10) + "MB/s"
	case n%1_000 == 0:
		return strconv.FormatInt(n/1_000, 10) + "kB/s"
	}
	return strconv.FormatInt(n, 10) + "B/s"
}

func parseBandwidth(s string) (int64, error) {
	unit := int64(1)
	digits, ok := strings.CutSuffix(s, "B/s")
	if d, cut := strings.CutSuffix(digits, "M"); cut {
		digits, unit = d, 1_000_000
	} else if d, cut := strings.CutSuffix(digits, "k"); cut {
		digits, unit = d, 1_000
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if !ok || err != nil || n == 0 {
		return 0, fmt.Errorf("say whole bytes a second, such as 64kB/s")
	}
	return int64(n) * unit, nil
}
