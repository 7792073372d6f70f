package placement

import (
	"testing"
	"time"

	"simulacrum/db/kv"
)

// What is worth a move, in a cluster where a thousand ranges a store are right, and 950
// to 1,050 will do.
func TestGain(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to int64
		want     bool
	}{
		{"a store above the band to one at the mean", 1051, 1000, true},
		{"to one so near that noise may be all", 1051, 1020, false},
		{"within the band", 1050, 950, false},
		{"to one below the band", 1000, 949, true},
		{"both above, far apart", 1200, 1090, true},
		{"both above, less far", 1200, 1110, false},
		{"both below, far apart", 920, 800, true},
		{"both below, less far", 920, 830, false},
		{"the wrong way", 1000, 1051, false},
		{"over the whole cluster", 5000, 0, true},
	} {
		stores := regular([]string{"a"}, 1, 4)
		rest := 4000 - c.from - c.to
		for i, n := range []int64{c.from, c.to, rest / 2, rest - rest/2} {
			stores[i].Ranges = n
		}
		cl := NewCluster(DefaultSettings(), stores, nil)
		one := shift{0, 1, amounts{Ranges: 1}}
		if _, _, got := cl.balance.gain(&cl.Settings, one); got != c.want {
			t.Errorf("%s, %d against %d: %v", c.name, c.from, c.to, got)
		}
		if !c.want {
			continue
		}
		before := cl.Imbalance(Ranges)
		cl.balance.move(&cl.Settings, one)
		if after := cl.Imbalance(Ranges); after >= before {
			t.Errorf("%s: imbalance %d becomes %d", c.name, before, after)
		}
		if _, _, back := cl.balance.gain(&cl.Settings, shift{1, 0, amounts{Ranges: 1}}); back {
			t.Errorf("%s: and back", c.name)
		}
	}
}

// Stores that are being emptied, or are gone, do not lower the mean.
func TestMean(t *testing.T) {
	stores := regular([]string{"a"}, 1, 6)
	for i, s := range []Status{Live, Suspect, Draining, Decommissioning, Unavailable, Dead} {
		stores[i].Status, stores[i].Ranges = s, 0
		if i < 3 {
			stores[i].Ranges = 30
		}
	}
	if got := NewCluster(DefaultSettings(), stores, nil).Mean(Ranges); got != 30 {
		t.Errorf("mean %d", got)
	}
}

// Of the round trips that are stated the one that says most of the two places counts.
func TestRoundTrip(t *testing.T) {
	at := func(text string) Locality {
		l, err := ParseLocality(text)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	c := NewCluster(DefaultSettings(), nil, []RoundTrip{
		{at("region=a,zone=x"), at("region=b"), 40 * time.Millisecond},
		{at("region=a"), at("region=b"), 70 * time.Millisecond},
	})
	for _, k := range []struct {
		from, to string
		want     time.Duration
	}{
		{"region=a,zone=x", "region=b,zone=x", 40 * time.Millisecond},
		{"region=b,zone=y", "region=a,zone=x", 40 * time.Millisecond},
		{"region=a,zone=y", "region=b,zone=x", 70 * time.Millisecond},
		{"region=a", "region=c", guessRegions},
		{"region=a,zone=x", "region=a,zone=y", guessZones},
		{"region=a,zone=x", "region=a,zone=x", guessNear},
	} {
		if got := c.roundTrip(at(k.from), at(k.to)); got != k.want {
			t.Errorf("%s to %s: %s, want %s", k.from, k.to, got, k.want)
		}
	}
}

// A store of the descriptor that nobody has heard of counts as silent.
func TestUnknownStore(t *testing.T) {
	w := &world{settings: DefaultSettings(), stores: regular([]string{"a"}, 1, 5)}
	cfg := DefaultConfig()
	r := w.newRange(&cfg, []kv.StoreID{1, 2, 77}, nil, 1)
	if d := w.see().Decide(r, nil); d.Action != NoAction || d.Reason.Cause != ReplicaSilent {
		t.Error(d)
	}
	r = w.newRange(&cfg, []kv.StoreID{1, 76, 77}, nil, 1)
	if d := w.see().Decide(r, nil); d.Reason.Cause != NoQuorum {
		t.Error(d)
	}
}
