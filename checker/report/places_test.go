package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simulacrum/checker"
	"simulacrum/checker/history"
)

// samplePlaces is a map of the sample's nine nodes, one of which joins late and one of
// which is down for a while.
func samplePlaces(rep *Report) *Places {
	p := &Places{
		Outages:    []Outage{{"r4", 40e9, 49e9, "2 of 3 voters missing: n4 (power lost), n5 (power lost)"}},
		Moves:      []Move{{9e9, "r3", "split", "r3 begins at \"m\"", ""}, {12e9, "r3", "allocator", "s1: rebalance +s9 voter, -s1 voter: done", "diversity; diversity 0.92 -> diversity 1.00"}},
		Tree:       []Leaf{{"r1", "/Min", "/Table", 3, []string{"(n1,s1):1", "(n4,s4):2", "(n7,s7):3"}, "n1", 4000, true}, {"r2", "/Table", "/Max", 1, []string{"(n1,s1):1"}, "", 70, false}},
		Recoveries: []checker.Recovered{{Loss: checker.Loss{Name: "power-loss region:eu-west", What: "region", At: 40e9, Restored: 52e9}, Served: 6.1e9, Key: "key k05"}, {Loss: checker.Loss{Name: "crash n2", What: "node", At: 8e9}, Served: history.Never, Key: "key k01"}},
	}
	for at := int64(0); at < 80e9; at += 1e9 {
		m := Moment{At: at, Ranges: 2}
		for i := range rep.Topology {
			m.Loads = append(m.Loads, Load{Here: i != 8 || at >= 30e9, Up: (i != 1 || at < 8e9 || at >= 14e9) && (i != 8 || at >= 30e9), Replicas: 3 + i%3, Leases: i % 4})
		}
		p.Moments = append(p.Moments, m)
	}
	return p
}

// The page shows the map of copies and leases with a row for each node, in which a node
// that is down or not there yet looks it; outages, movements with their reasons, the tree
// and recoveries are there, and in results.json as they were given.
func TestPlaces(t *testing.T) {
	rep := sample(300)
	dir := t.TempDir()
	if err := rep.Write(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "index.html"))
	if err != nil {
		t.Fatal(err)
	}
	page = []byte(html.UnescapeString(string(page)))
	for _, want := range []string{"n9, T+0.000000s to T+30.000000s: not part of the cluster", "n2, T+8.000000s to T+14.000000s: down", "n1, T+0.000000s to",
		"2 of 3 voters missing: n4 (power lost)", "diversity 0.92 -> diversity 1.00", "power-loss region:eu-west", "not served again", "after 12.0 s", "2 ranges at the end"} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := strings.Count(string(page), `class="place-down"`); n != 1 {
		t.Errorf("%d blocks are down", n)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Places *Places }
	if err := json.Unmarshal(raw, &back); err != nil || fmt.Sprint(*back.Places) != fmt.Sprint(*rep.Places) {
		t.Errorf("%v: %+v", err, back.Places)
	}
	rep.Places = nil
	var b bytes.Buffer
	if err := rep.HTML(&b); err != nil || strings.Contains(b.String(), "h-places") {
		t.Errorf("nobody looked, and the page has a map (%v)", err)
	}
}

// What clients of a region were answered, and the longest time in which none of them was.
func TestByRegion(t *testing.T) {
	rec := history.NewRecorder()
	do := func(client string, from, to int64, out history.Outcome) {
		op := rec.Invoke(client, "n1", from*1e9, history.Action{F: history.Read, Key: "a"})
		rec.Complete(op, to*1e9, out, "", history.Timestamp{})
	}
	do("c1", 1, 2, history.OK)
	do("c2", 2, 3, history.OK)
	do("c1", 4, 9, history.Fail)
	do("c2", 5, 6, history.OK)
	do("c2", 10, 12, history.OK)
	got := ByRegion(rec.History(), []string{"eu", "us", "asia"}, map[string]string{"c1": "eu", "c2": "us"})
	want := []Service{{"eu", 1, 1, 1, 0, 10e9, 2e9}, {"us", 1, 3, 0, 0, 6e9, 6e9}, {"asia", 0, 0, 0, 0, 12e9, 0}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v", got)
	}
	if got[0].Share() != "50.00 %" || got[2].Share() != "nothing asked" {
		t.Errorf("%s, %s", got[0].Share(), got[2].Share())
	}
}
