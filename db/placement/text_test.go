package placement

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simulacrum/db/kv"
)

func drawConstraints(t *rapid.T) []Constraint {
	var out []Constraint
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"", "region", "zone", "rack"}), 1, 3, rapid.ID).Draw(t, "keys") {
		out = append(out, Constraint{rapid.Bool().Draw(t, "prohibited"), key, rapid.StringMatching(`[a-z0-9_./][a-z0-9_./-]{0,6}`).Draw(t, "value")})
	}
	return out
}

func drawConjunctions(t *rapid.T, most int) []Conjunction {
	var out []Conjunction
	switch rapid.IntRange(0, 2).Draw(t, "form") {
	case 1:
		out = []Conjunction{{0, drawConstraints(t)}}
	case 2:
		for left := most; left > 0 && rapid.Bool().Draw(t, "more"); {
			j := Conjunction{rapid.IntRange(1, left).Draw(t, "replicas"), drawConstraints(t)}
			for _, o := range out {
				if reflect.DeepEqual(o.Constraints, j.Constraints) {
					return out
				}
			}
			out, left = append(out, j), left-j.Replicas
		}
	}
	return out
}

// Every valid config prints, and parses back to itself.
func TestConfigRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := DefaultConfig()
		c.Replicas = rapid.SampledFrom([]int{1, 3, 5, 7}).Draw(t, "replicas")
		c.Voters = rapid.SampledFrom([]int{0, 1, c.Replicas}).Draw(t, "voters")
		c.Constraints = drawConjunctions(t, c.Replicas)
		c.VoterConstraints = drawConjunctions(t, c.NumVoters())
		for range rapid.IntRange(0, 2).Draw(t, "preferences") {
			c.LeasePreferences = append(c.LeasePreferences, drawConstraints(t))
		}
		c.GCTTL = time.Duration(rapid.IntRange(1, 100_000).Draw(t, "ttl")) * time.Second
		c.MaxBytes = rapid.Int64Range(2, 1<<40).Draw(t, "max")
		c.MinBytes = rapid.Int64Range(0, c.MaxBytes-1).Draw(t, "min")
		back, err := ParseConfig(c.String(), Config{})
		if err != nil {
			t.Fatalf("%s: %v", c.String(), err)
		}
		if !reflect.DeepEqual(back, c) {
			t.Fatalf("%s\nread back as\n%s", c.String(), back.String())
		}
	})
}

// Whatever the text, a config that parses prints to what parses to the same; and an
// error says something.
func FuzzParseConfig(f *testing.F) {
	for _, s := range []string{
		"", "num_replicas = 5, num_voters = 3", `constraints = '{"+region=us-east": 1, "+region=us-west,+ssd": 2}'`, "constraints = '[+a, -b=c]'",
		"lease_preferences = '[[+region=a], [-ssd]]', gc.ttlseconds = 60", "constraints = '{+a:1'", "range_max_bytes = 99999999999999999999", "constraints='[+a=b=c]'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParseConfig(text, DefaultConfig())
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		back, err := ParseConfig(c.String(), DefaultConfig())
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%q prints %q, which reads as %q, %v", text, c.String(), back.String(), err)
		}
	})
}

func TestLocality(t *testing.T) {
	for _, text := range []string{"", "region=us-east", "region=us-east,zone=us-east-a,rack=7"} {
		if l, err := ParseLocality(text); err != nil || l.String() != text {
			t.Errorf("%q reads as %q, %v", text, l, err)
		}
	}
	for text, want := range map[string]string{
		"region":                              "write key=value",
		"region=":                             "write key=value",
		"region=a,region=b":                   "stands twice",
		"region=a b":                          "write key=value",
		"a=1,b=2,c=3,d=4,e=5,f=6,g=7,h=8,i=9": "at most 8",
	} {
		if _, err := ParseLocality(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"n3", "s14", "region=a,zone=b"} {
		if f, err := ParseFailure(text); err != nil || f.String() != text {
			t.Errorf("%q reads as %q, %v", text, f, err)
		}
	}
}

// Diversity is the same both ways, nothing for the same disk, and grows with each tier,
// node and disk included, that two stores do not share. The cluster's quick way to
// compare agrees with the plain one.
func TestDiversity(t *testing.T) {
	at := func(id, node int, text string) Store {
		l, err := ParseLocality(text)
		if err != nil {
			t.Fatal(err)
		}
		return Store{ID: kv.StoreID(id), Node: kv.NodeID(node), Locality: l}
	}
	stores := []Store{
		at(1, 1, "region=a,zone=a,rack=1"), at(2, 1, "region=a,zone=a,rack=1"), at(3, 2, "region=a,zone=a,rack=1"),
		at(4, 3, "region=a,zone=a,rack=2"), at(5, 4, "region=a,zone=b,rack=1"), at(6, 5, "region=b,zone=a,rack=1"),
		at(7, 6, "region=a"), at(8, 7, ""),
	}
	c := NewCluster(DefaultSettings(), stores, nil)
	for i := range stores {
		for k := range stores {
			d := diversity(&stores[i], &stores[k])
			if d != diversity(&stores[k], &stores[i]) || d != c.diversity(i, k) || (d == 0) != (i == k) || d > DiversityUnit {
				t.Errorf("s%d and s%d: %d, %d back, %d in the cluster", i+1, k+1, d, diversity(&stores[k], &stores[i]), c.diversity(i, k))
			}
		}
	}
	for k := 1; k < 6; k++ { // disk, node, rack, zone, region
		if got, want := diversity(&stores[0], &stores[k]), int64(k*DiversityUnit/5); got != want {
			t.Errorf("s1 and s%d: %d, want %d", k+1, got, want)
		}
	}
}

// Status: silence counts more than intentions, and being gone for good more than all.
func TestStatus(t *testing.T) {
	s := DefaultSettings()
	for _, c := range []struct {
		l    Liveness
		want Status
	}{
		{Liveness{Back: -1}, Live},
		{Liveness{Back: s.SuspectFor}, Live},
		{Liveness{Back: s.SuspectFor - 1}, Suspect},
		{Liveness{Back: 1, Draining: true}, Draining},
		{Liveness{Back: -1, Draining: true, Decommissioning: true}, Decommissioning},
		{Liveness{Silent: 1, Decommissioning: true}, Unavailable},
		{Liveness{Silent: s.DeadAfter - 1}, Unavailable},
		{Liveness{Silent: s.DeadAfter, Decommissioning: true}, Dead},
		{Liveness{Silent: s.DeadAfter, Decommissioned: true}, Decommissioned},
		{Liveness{Decommissioned: true}, Decommissioned},
	} {
		if got := s.Status(c.l); got != c.want {
			t.Errorf("%+v: %s, want %s", c.l, got, c.want)
		}
	}
}
