package placement

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/kv"
)

// dialogue runs the commands of a file in testdata. Each file opens with what it claims.
//
//	new                                    forgets everything
//	regions zones=Z nodes=N NAME ...       stores in regions × zones × nodes, 1,000 bytes each
//	store ID [n=N] [locality=L] [key=value ...] [+throttled|-throttled]   makes or changes stores (ID or ID-ID)
//	trip LOCALITY LOCALITY DURATION
//	config NAME FIELDS                     what FIELDS do not name is as by default; sizes are small
//	multiregion NAME home=R goal=zone|region [restricted] R ...   a config, printed
//	range [config=NAME] [voters=1,2,3] [nonvoters=4] [lease=1] [size=N] [requests=N] [cpu=D] [writes=N] [times=K] [learner=5] [incoming=6] [outgoing=7]
//	alter rN [the same] [behind=2] [from=LOCALITY:REQUESTS]
//	decide rN / repair rN / rebalance rN / lease rN / split rN / merge rN rM
//	do rN                                  the decision is also carried out
//	settle                                 all ranges, until nothing is left to do, each decision printed
//	settle quietly                         the number of decisions alone
//	stores / ranges / score rN
//	lose FAILURE ...                       what is unavailable, and why
//	critical TIER                          whose loss makes a range unavailable
type dialogue struct {
	t       *testing.T
	w       *world
	configs map[string]*Config
}

func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") || strings.Contains(path, "rapid") {
			return
		}
		d := &dialogue{t: t}
		d.reset()
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			d.t = t
			if td.Cmd == "new" {
				d.reset()
			}
			var out strings.Builder
			for _, line := range strings.Split(td.Input, "\n") {
				if f := strings.Fields(line); len(f) > 0 {
					d.do(&out, f, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), f[0])))
				}
			}
			return out.String()
		})
	})
}

func (d *dialogue) reset() {
	cfg := DefaultConfig()
	cfg.MinBytes, cfg.MaxBytes = 20, 100
	d.w = &world{settings: DefaultSettings()}
	d.configs = map[string]*Config{"": &cfg}
}

// args splits key=value words at the first sign of equality; a word alone has "".
func args(f []string) (map[string]string, []string) {
	kvs, words := map[string]string{}, []string{}
	for _, s := range f {
		if k, v, ok := strings.Cut(s, "="); ok {
			kvs[k] = v
		} else {
			words = append(words, s)
		}
	}
	return kvs, words
}

func (d *dialogue) int(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimLeft(s, "rsn"), 10, 64)
	if err != nil {
		d.t.Fatalf("%q: %v", s, err)
	}
	return n
}

func (d *dialogue) ids(s string) []kv.StoreID {
	var out []kv.StoreID
	if s == "" {
		return nil
	}
	for _, part := range strings.Split(s, ",") {
		out = append(out, kv.StoreID(d.int(part)))
	}
	return out
}

//house:flat one case a command
func (d *dialogue) do(out *strings.Builder, f []string, rest string) {
	kvs, words := args(f[1:])
	switch f[0] {
	case "regions":
		d.w.stores = append(d.w.stores, regular(words, int(d.int(kvs["zones"])), int(d.int(kvs["nodes"])))...)
	case "store":
		d.store(words, kvs)
	case "trip":
		a, _ := ParseLocality(f[1])
		b, _ := ParseLocality(f[2])
		dur, err := time.ParseDuration(f[3])
		if err != nil {
			d.t.Fatal(err)
		}
		d.w.trips = append(d.w.trips, RoundTrip{a, b, dur})
	case "config":
		cfg, err := ParseConfig(strings.TrimSpace(strings.TrimPrefix(rest, f[1])), *d.configs[""])
		d.config(out, f[1], cfg, err)
	case "multiregion":
		m := MultiRegion{Home: kvs["home"]}
		for _, w := range words[1:] {
			if w == "restricted" {
				m.Restricted = true
			} else {
				m.Regions = append(m.Regions, w)
			}
		}
		if kvs["goal"] == "region" {
			m.Goal = SurviveRegion
		}
		cfg, err := m.Config(*d.configs[""])
		d.config(out, words[0], cfg, err)
	case "range":
		times := int64(1)
		if s := kvs["times"]; s != "" {
			times = d.int(s)
		}
		for range times {
			r := d.w.newRange(d.configs[kvs["config"]], d.ids(kvs["voters"]), d.ids(kvs["nonvoters"]), 0)
			d.alter(r, kvs)
			d.w.see()
			d.w.count(r)
			d.w.c = nil
		}
	case "alter":
		d.alter(d.rangeOf(f[1]), kvs)
	case "decide", "repair", "rebalance", "lease", "split", "merge", "do":
		d.decide(out, f)
	case "settle":
		d.settle(out, len(words) > 0)
	case "stores":
		d.w.see()
		for _, s := range d.w.stores {
			fmt.Fprintln(out, s.String())
		}
	case "ranges":
		for _, r := range d.w.ranges {
			fmt.Fprintln(out, placement(r))
		}
	case "score":
		fmt.Fprintln(out, d.w.see().Score(d.rangeOf(f[1])))
	case "lose":
		var failures []Failure
		for _, text := range f[1:] {
			one, err := ParseFailure(text)
			if err != nil {
				fmt.Fprintln(out, err)
				return
			}
			failures = append(failures, one)
		}
		for _, r := range d.w.ranges {
			fmt.Fprintln(out, d.w.see().Availability(r.Desc, failures...))
		}
	case "critical":
		for _, r := range d.w.ranges {
			fmt.Fprintf(out, "r%d: %v\n", r.Desc.RangeID, d.w.see().Critical(r.Desc, f[1]))
		}
	default:
		d.t.Fatalf("unknown command %q", f[0])
	}
}

func (d *dialogue) config(out *strings.Builder, name string, cfg Config, err error) {
	if err != nil {
		fmt.Fprintln(out, err)
		return
	}
	d.configs[name] = &cfg
	fmt.Fprintf(out, "%s: %s\n", name, cfg.String())
}

func (d *dialogue) store(words []string, kvs map[string]string) {
	first, last, many := strings.Cut(words[0], "-")
	if !many {
		last = first
	}
	for id := d.int(first); id <= d.int(last); id++ {
		var s *Store
		for i := range d.w.stores {
			if d.w.stores[i].ID == kv.StoreID(id) {
				s = &d.w.stores[i]
			}
		}
		if s == nil {
			d.w.stores = append(d.w.stores, Store{ID: kv.StoreID(id), Node: kv.NodeID(id), Capacity: 1000})
			s = &d.w.stores[len(d.w.stores)-1]
		}
		for _, w := range words[1:] {
			s.Throttled = w == "+throttled"
		}
		ints := map[string]*int64{"used": &s.Used, "capacity": &s.Capacity, "ranges": &s.Ranges, "leases": &s.Leases,
			"requests": &s.Load.Requests, "cpu": &s.Load.CPU, "writes": &s.Load.Writes}
		for _, k := range sortedKeys(kvs) {
			v, err := kvs[k], error(nil)
			switch k {
			case "n":
				s.Node = kv.NodeID(d.int(v))
			case "locality":
				s.Locality, err = ParseLocality(v)
			case "attrs":
				s.Attributes = strings.Split(v, ",")
			case "status":
				s.Status, err = ParseStatus(v)
			default:
				*ints[k] = d.int(v)
			}
			if err != nil {
				d.t.Fatal(err)
			}
		}
	}
	d.w.c = nil
}

func (d *dialogue) rangeOf(s string) *Range { return d.w.ranges[d.int(s)-1] }

func (d *dialogue) alter(r *Range, kvs map[string]string) {
	for _, k := range sortedKeys(kvs) {
		v := kvs[k]
		switch k {
		case "config":
			r.Config = d.configs[v]
		case "lease":
			r.Leaseholder = kv.StoreID(d.int(v))
		case "size":
			r.Size = d.int(v)
		case "requests":
			r.Load.Requests = d.int(v)
		case "cpu":
			r.Load.CPU = d.int(v)
		case "writes":
			r.Load.Writes = d.int(v)
		case "behind":
			r.Behind = d.ids(v)
		case "from":
			r.Origins = nil
			for _, part := range strings.Split(v, ";") {
				place, n, _ := strings.Cut(part, ":")
				l, err := ParseLocality(place)
				if err != nil {
					d.t.Fatal(err)
				}
				r.Origins = append(r.Origins, Origin{l, d.int(n)})
			}
		case "learner", "incoming", "outgoing", "demoting":
			typ := map[string]kv.ReplicaType{"learner": kv.Learner, "incoming": kv.VoterIncoming, "outgoing": kv.VoterOutgoing, "demoting": kv.VoterDemoting}[k]
			for _, id := range d.ids(v) {
				r.Desc.Replicas = append(r.Desc.Replicas, kv.ReplicaDescriptor{NodeID: d.w.nodeOf(id), StoreID: id, ReplicaID: r.Desc.NextReplicaID, Type: typ})
				r.Desc.NextReplicaID++
			}
		}
	}
}

func (d *dialogue) decide(out *strings.Builder, f []string) {
	c, r := d.w.see(), d.rangeOf(f[1])
	var dec Decision
	switch f[0] {
	case "decide", "do":
		dec = c.Decide(r, nil)
	case "repair":
		dec = c.Repair(r, nil)
	case "rebalance":
		dec = c.Rebalance(r, nil)
	case "lease":
		dec = c.Lease(r, nil)
	case "split":
		dec = c.Split(r)
	case "merge":
		dec = c.Merge(r, d.rangeOf(f[2]))
	}
	fmt.Fprintln(out, dec)
	if f[0] == "do" {
		if err := d.w.enact(r, dec); err != nil {
			d.t.Fatal(err)
		}
	}
}

// settle carries out what is decided for one range after the other.
func (d *dialogue) settle(out *strings.Builder, quietly bool) {
	d.w.see()
	done, before := 0, -1
	for before != done {
		before = done
		for _, r := range d.w.ranges {
			dec := d.w.c.Decide(r, nil)
			if dec.Action == NoAction {
				continue
			}
			if done++; done > 10_000 {
				d.t.Fatal("no end of decisions")
			}
			if !quietly {
				fmt.Fprintln(out, dec)
			}
			if err := d.w.enact(r, dec); err != nil {
				d.t.Fatal(err)
			}
		}
	}
	if quietly {
		fmt.Fprintf(out, "%d decisions\n", done)
	}
	for _, r := range d.w.ranges {
		if dec := d.w.c.Decide(r, nil); dec.Reason.Cause != InPlace {
			fmt.Fprintln(out, dec)
		}
	}
}
