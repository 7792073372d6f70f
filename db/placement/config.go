package placement

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"simulacrum/db/kv"
)

// Config is what is wanted for the ranges of a span. It is not changed once a range
// refers to it: a new wish is a new Config.
type Config struct {
	Replicas int // of each range, voters and non-voters
	Voters   int // of these; 0 is all of them

	Constraints      []Conjunction  // on all replicas
	VoterConstraints []Conjunction  // on voters, besides
	LeasePreferences [][]Constraint // on the leaseholder, the most wanted first

	GCTTL              time.Duration // how long old versions are kept
	MinBytes, MaxBytes int64         // range sizes below which to merge, above which to split
}

const maxReplicas = kv.MaxReplicas / 2 // a replacement has both for a while

// maxConjunctions bounds the conjunctions of a config: what a store satisfies is a bit set.
const maxConjunctions = 64

// DefaultConfig is three replicas anywhere, with the sizes that production uses.
func DefaultConfig() Config {
	return Config{Replicas: 3, GCTTL: 4 * time.Hour, MinBytes: 128 << 20, MaxBytes: 512 << 20}
}

// NumVoters is how many voters are wanted.
func (c *Config) NumVoters() int {
	if c.Voters == 0 {
		return c.Replicas
	}
	return c.Voters
}

// NumNonVoters is how many non-voters are wanted.
func (c *Config) NumNonVoters() int { return c.Replicas - c.NumVoters() }

// Validate says what makes the config impossible, and what to do about it.
func (c *Config) Validate() error {
	voters := c.NumVoters()
	switch {
	case c.Replicas < 1 || c.Replicas > maxReplicas:
		return fmt.Errorf("num_replicas = %d; it lies between 1 and %d", c.Replicas, maxReplicas)
	case c.Voters < 0 || voters > c.Replicas:
		return fmt.Errorf("num_voters = %d with num_replicas = %d; voters are a part of the replicas, so raise num_replicas or lower num_voters", c.Voters, c.Replicas)
	case voters == 2:
		return fmt.Errorf("2 voters survive no failure and cost twice as much as one; choose 1 or 3")
	case c.GCTTL <= 0:
		return fmt.Errorf("gc.ttlseconds = %d; it must be above 0", c.GCTTL/time.Second)
	case c.MinBytes < 0 || c.MaxBytes <= 0 || c.MinBytes >= c.MaxBytes:
		return fmt.Errorf("range_min_bytes = %d, range_max_bytes = %d; the minimum must be below the maximum", c.MinBytes, c.MaxBytes)
	case len(c.Constraints)+len(c.VoterConstraints) > maxConjunctions:
		return fmt.Errorf("%d constraints and %d voter_constraints; at most %d are possible together", len(c.Constraints), len(c.VoterConstraints), maxConjunctions)
	}
	if err := checkCounts("constraints", c.Constraints, "num_replicas", c.Replicas); err != nil {
		return err
	}
	return checkCounts("voter_constraints", c.VoterConstraints, "num_voters", voters)
}

func checkCounts(what string, js []Conjunction, limit string, n int) error {
	sum := total(js)
	if sum > n {
		return fmt.Errorf("%s %s ask for %d replicas, %s is %d; raise it, or ask for fewer", what, FormatConstraints(js), sum, limit, n)
	}
	if sum > 0 {
		for _, j := range js {
			if j.Replicas == 0 {
				return fmt.Errorf("%s mix a constraint on every replica with constraints on some; give %q a number", what, joinConstraints(j.Constraints, ","))
			}
		}
	}
	return nil
}

// total is the number of replicas that the conjunctions speak of.
func total(js []Conjunction) int {
	n := 0
	for _, j := range js {
		n += j.Replicas
	}
	return n
}

// The names of a config's fields in text.
const (
	fieldReplicas         = "num_replicas"
	fieldVoters           = "num_voters"
	fieldConstraints      = "constraints"
	fieldVoterConstraints = "voter_constraints"
	fieldLeasePreferences = "lease_preferences"
	fieldGC               = "gc.ttlseconds"
	fieldMinBytes         = "range_min_bytes"
	fieldMaxBytes         = "range_max_bytes"
)

// String prints what ParseConfig reads, each field by name.
func (c *Config) String() string {
	s := fmt.Sprintf("%s = %d", fieldReplicas, c.Replicas)
	if c.Voters != 0 {
		s += fmt.Sprintf(", %s = %d", fieldVoters, c.Voters)
	}
	if len(c.Constraints) > 0 {
		s += fmt.Sprintf(", %s = '%s'", fieldConstraints, FormatConstraints(c.Constraints))
	}
	if len(c.VoterConstraints) > 0 {
		s += fmt.Sprintf(", %s = '%s'", fieldVoterConstraints, FormatConstraints(c.VoterConstraints))
	}
	if len(c.LeasePreferences) > 0 {
		s += fmt.Sprintf(", %s = '%s'", fieldLeasePreferences, FormatPreferences(c.LeasePreferences))
	}
	return s + fmt.Sprintf(", %s = %d, %s = %d, %s = %d", fieldGC, c.GCTTL/time.Second, fieldMinBytes, c.MinBytes, fieldMaxBytes, c.MaxBytes)
}

// ParseConfig reads fields such as num_replicas = 5, constraints = '[+ssd]', in the
// manner of CONFIGURE ZONE: fields that are not named keep the values of base. The
// result is valid.
func ParseConfig(text string, base Config) (Config, error) {
	c, seen := base, map[string]bool{}
	for rest := strings.TrimSpace(text); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		if name = strings.TrimSpace(name); !ok || !isWord(name) {
			return base, fmt.Errorf("config %q: no field at %q; write name = value, with commas between", text, rest)
		}
		value, left, err := cutValue(strings.TrimSpace(after))
		if err != nil {
			return base, fmt.Errorf("config %q: %s: %w", text, name, err)
		}
		if seen[name] {
			return base, fmt.Errorf("config %q: %s stands twice; keep one", text, name)
		}
		seen[name] = true
		if err := c.set(name, value); err != nil {
			return base, fmt.Errorf("config %q: %w", text, err)
		}
		rest = left
	}
	return c, c.Validate()
}

// cutValue takes a value, quoted or up to the next comma, from the front of text.
func cutValue(text string) (value, rest string, err error) {
	if strings.HasPrefix(text, "'") {
		value, rest, closed := strings.Cut(text[1:], "'")
		if rest = strings.TrimSpace(rest); !closed || rest != "" && rest[0] != ',' {
			return "", "", fmt.Errorf("the value %s does not end with a quote and a comma", text)
		}
		return value, strings.TrimSpace(strings.TrimPrefix(rest, ",")), nil
	}
	value, rest, _ = strings.Cut(text, ",")
	return strings.TrimSpace(value), strings.TrimSpace(rest), nil
}

func (c *Config) set(name, value string) (err error) {
	var n int64
	switch name {
	case fieldConstraints:
		c.Constraints, err = ParseConstraints(value)
	case fieldVoterConstraints:
		c.VoterConstraints, err = ParseConstraints(value)
	case fieldLeasePreferences:
		c.LeasePreferences, err = ParsePreferences(value)
	case fieldReplicas, fieldVoters, fieldGC, fieldMinBytes, fieldMaxBytes:
		if n, err = strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
			return fmt.Errorf("%s = %q; write a whole number", name, value)
		}
	default:
		return fmt.Errorf("unknown field %q; the fields are %s", name, strings.Join([]string{fieldReplicas, fieldVoters, fieldConstraints,
			fieldVoterConstraints, fieldLeasePreferences, fieldGC, fieldMinBytes, fieldMaxBytes}, ", "))
	}
	switch name {
	case fieldReplicas:
		c.Replicas = int(min(n, maxReplicas+1))
	case fieldVoters:
		c.Voters = int(min(n, maxReplicas+1))
	case fieldGC:
		c.GCTTL = time.Duration(min(n, int64(100*365*24*time.Hour/time.Second))) * time.Second
	case fieldMinBytes:
		c.MinBytes = n
	case fieldMaxBytes:
		c.MaxBytes = n
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
