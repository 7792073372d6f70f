package scenarios

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"simulacrum/nemesis"
	"simulacrum/workloads"
)

// Parse reads a scenario. Every error names its line and what to write instead.
func Parse(text string) (*Scenario, error) {
	s := Default()
	meta, err := toml.Decode(text, s)
	if err != nil {
		var at toml.ParseError
		if errors.As(err, &at) {
			message := strings.TrimPrefix(at.Message, "toml: ")
			if message == "" {
				message = at.Error()
			}
			return nil, fmt.Errorf("line %d: %s", at.Position.Line, message)
		}
		return nil, err
	}
	for _, key := range meta.Undecoded() {
		return nil, fmt.Errorf("line %d: %s", lineOf(text, key), unknown(key))
	}
	if key, err := s.validate(); err != nil {
		return nil, fmt.Errorf("line %d: %w", lineOf(text, key), err)
	}
	return s, nil
}

// unknown says which keys there are where an unknown one stands.
func unknown(key toml.Key) string {
	t := reflect.TypeFor[Scenario]()
	where := "a scenario"
	for _, part := range key[:len(key)-1] {
		for i := range t.NumField() {
			if tag(t.Field(i)) == part {
				t = t.Field(i).Type
				break
			}
		}
		where = "[" + strings.Join(key[:len(key)-1], ".") + "]"
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			break
		}
	}
	if t.Kind() != reflect.Struct {
		return fmt.Sprintf("%s has no %q", where, key[len(key)-1])
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, tag(t.Field(i)))
	}
	return fmt.Sprintf("%s has no %q: it takes %s", where, key[len(key)-1], strings.Join(names, ", "))
}

func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	return name
}

// lineOf finds the line where a key is given, or its table if it is not, or 1.
// The decoder keeps no positions of keys. An element of a list is named by its
// text, as the last part of the key.
func lineOf(text string, key toml.Key) int {
	table, best, line := "", 1, 0
	for l := range strings.Lines(text) {
		line++
		bare := strings.TrimSpace(l)
		if strings.HasPrefix(bare, "[") && strings.Contains(bare, "]") && !strings.Contains(bare, "\"") {
			table = strings.Trim(strings.Split(bare, "]")[0], "[ ")
			if table != "" && strings.HasPrefix(key.String()+".", table+".") {
				best = line
			}
			continue
		}
		name, _, ok := strings.Cut(bare, "=")
		full := strings.Trim(strings.TrimSpace(name), `"`)
		if table != "" {
			full = table + "." + full
		}
		if ok && (full == key.String() || strings.HasPrefix(key.String(), full+".")) {
			best = line
			if full == key.String() {
				return line
			}
		}
		if last := key[len(key)-1]; strings.Contains(last, " ") && strings.Contains(bare, last) {
			return line
		}
	}
	return best
}

// validate returns the key that is wrong, and what would be right.
func (s *Scenario) validate() (toml.Key, error) {
	for _, check := range []func() (toml.Key, error){s.validateTimes, s.validateTopology, s.validateRest, s.validateFaults} {
		if key, err := check(); err != nil {
			return key, err
		}
	}
	return nil, nil
}

func (s *Scenario) validateTimes() (toml.Key, error) {
	switch f := s.Faults; {
	case s.Name == "" || strings.Trim(s.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		return toml.Key{"name"}, fmt.Errorf("name = %q: say one in lower-case letters, digits and dashes", s.Name)
	case s.Duration <= 0:
		return toml.Key{"duration"}, fmt.Errorf("duration = %q: say how long clients work, such as \"60s\"", s.Duration)
	case s.Settle <= 0:
		return toml.Key{"settle"}, fmt.Errorf("settle = %q: say how long the final reads may take, such as \"60s\"", s.Settle)
	case f.From < 0 || f.To < f.From || f.To > s.Duration:
		return toml.Key{"faults", "to"}, fmt.Errorf("faults from %s to %s: the window must lie within the duration, %s", f.From, f.To, s.Duration)
	case s.Checks.Liveness <= 0:
		return toml.Key{"checks", "liveness"}, fmt.Errorf("liveness = %q: say within what time of healing every key must be served, such as \"20s\"", s.Checks.Liveness)
	case s.Checks.Placement < 0:
		return toml.Key{"checks", "placement"}, fmt.Errorf("placement = %q: say within what time of healing copies must be where they belong, or leave it out", s.Checks.Placement)
	case s.Workload.Timeout <= 0:
		return toml.Key{"workload", "client-timeout"}, fmt.Errorf("client-timeout = %q: say how long a client waits for an answer, such as \"5s\"", s.Workload.Timeout)
	}
	return nil, nil
}

// maxNodes bounds what a person may ask for in a file.
const maxNodes = 500

func (s *Scenario) validateTopology() (toml.Key, error) {
	t := s.Topology
	if len(t.Regions) == 0 {
		return toml.Key{"topology"}, fmt.Errorf("there is no region: add [[topology.region]] with name, zones, nodes and clients")
	}
	var names []string
	for _, r := range t.Regions {
		switch {
		case r.Name == "" || strings.ContainsAny(r.Name, " /,|=:"):
			return toml.Key{"topology", "region", "name"}, fmt.Errorf("a region is called %q: say a name without blanks or /,|=:", r.Name)
		case slices.Contains(names, r.Name):
			return toml.Key{"topology", "region", "name"}, fmt.Errorf("two regions are called %q: rename one", r.Name)
		case len(r.Zones) == 0:
			return toml.Key{"topology", "region", "zones"}, fmt.Errorf("region %s has no zones: say zones = [\"a\"]", r.Name)
		case r.Nodes < 0 || r.Nodes > 100 || r.Clients < 0 || r.Clients > 10_000:
			return toml.Key{"topology", "region", "nodes"}, fmt.Errorf("region %s has %d nodes a zone and %d clients: say 0 to 100, and 0 to 10000", r.Name, r.Nodes, r.Clients)
		case r.Spares < 0 || r.Spares > 100:
			return toml.Key{"topology", "region", "spares"}, fmt.Errorf("region %s has %d spare nodes a zone: say 0 to 100", r.Name, r.Spares)
		}
		for i, z := range r.Zones {
			if z == "" || strings.ContainsAny(z, " /,|=:") || slices.Contains(r.Zones[:i], z) {
				return toml.Key{"topology", "region", "zones"}, fmt.Errorf("zone %q of region %s: say distinct names without blanks or /,|=:", z, r.Name)
			}
		}
		names = append(names, r.Name)
	}
	places := s.places()
	switch {
	case len(places.All()) > maxNodes:
		return toml.Key{"topology"}, fmt.Errorf("there are %d nodes: say at most %d", len(places.All()), maxNodes)
	case t.Replicas < 1 || t.Replicas > len(places.Nodes):
		return toml.Key{"topology", "replicas"}, fmt.Errorf("replicas = %d with %d nodes: say 1 to %d", t.Replicas, len(places.Nodes), len(places.Nodes))
	case len(places.Clients) == 0:
		return toml.Key{"topology"}, fmt.Errorf("nobody asks anything: give some region clients")
	}
	return nil, nil
}

func (s *Scenario) validateRest() (toml.Key, error) {
	if _, err := workloads.New(s.Workload.Name, s.Params()); err != nil {
		return toml.Key{"workload"}, err
	}
	switch w := s.Workload; {
	case w.Keys < 1 || w.Counters < 1 || w.HotPercent < 1:
		return toml.Key{"workload", "keys"}, fmt.Errorf("keys, counters and hot-percent: say at least 1; hot = 0 is for no hot keys")
	case w.Mix == (Mix{}) || w.Registers+w.Increments+w.Sets == 0:
		return toml.Key{"workload", "mix"}, fmt.Errorf("all weights are 0: say how much of what clients should do")
	case w.Think < 0:
		return toml.Key{"workload", "think"}, fmt.Errorf("think = %q: say \"0s\" for no pause at all", w.Think)
	}
	switch c := s.Clocks; {
	case c.MaxOffset <= 0:
		return toml.Key{"clocks", "max-offset"}, fmt.Errorf("max-offset = %q: say how far apart clocks may be, such as \"500ms\"", c.MaxOffset)
	case len(c.Offsets) > 0 && len(c.Offsets) != len(s.places().All()):
		return toml.Key{"clocks", "offsets"}, fmt.Errorf("%d offsets for %d nodes: give one for each, or none to have them drawn", len(c.Offsets), len(s.places().All()))
	}
	if !slices.Contains([]string{"nvme", "ssd", "spinning"}, s.Disk.Profile) {
		return toml.Key{"disk", "profile"}, fmt.Errorf("no disk is called %q: say nvme, ssd or spinning", s.Disk.Profile)
	}
	return nil, nil
}

func (s *Scenario) validateFaults() (toml.Key, error) {
	f := s.Faults
	for _, name := range f.Families {
		if _, err := nemesis.ParseFamily(name); err != nil {
			return toml.Key{"faults", "families"}, err
		}
	}
	switch {
	case f.Strength < 1 || f.Strength > 5:
		return toml.Key{"faults", "strength"}, fmt.Errorf("strength = %d: say 1 (few faults) to 5 (many)", f.Strength)
	case f.MinAvailable > 1_000_000:
		return toml.Key{"faults", "min-available"}, fmt.Errorf("min-available = %q: say at most \"100%%\"", f.MinAvailable)
	case f.Expect != "available" && f.Expect != "safe":
		return toml.Key{"faults", "expect"}, fmt.Errorf("expect = %q: say available (a quorum of every range at all times) or safe", f.Expect)
	case f.MaxDown < 0 || f.MaxActive < 0:
		return toml.Key{"faults", "max-down"}, fmt.Errorf("max-down and max-active: say 0 for any number, or a bound")
	}
	for _, line := range f.Plan {
		p, err := nemesis.ParsePlan(line)
		var bad *nemesis.LineError
		if errors.As(err, &bad) {
			return toml.Key{"faults", line}, bad.Err
		}
		if len(p.Faults) != 1 {
			return toml.Key{"faults", "plan"}, fmt.Errorf("plan holds %q: each of its strings is one fault", line)
		}
		if _, err := p.Check(s.places()); err != nil {
			return toml.Key{"faults", line}, err
		}
		if at := p.Faults[0].At; at.Probe == "" && at.T >= time.Duration(f.To) {
			return toml.Key{"faults", line}, fmt.Errorf("its time does not come: everything heals at T+%s; begin earlier, or move \"to\"", f.To)
		}
	}
	plan := s.explicit()
	b := plan.Budget(s.model())
	if f.Expect == "available" && b.Share(0, s.model().End) < 1_000_000 {
		return toml.Key{"faults", "expect"}, fmt.Errorf("expect = \"available\", but the plan takes a quorum away: change the plan, or expect \"safe\"\n%s", b)
	}
	return nil, nil
}
