package survey_test

import (
	"strings"
	"testing"
	"time"

	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/cluster/survey"
	"simulacrum/nemesis"
	"simulacrum/sim"
)

// watched is a cluster of a node in each of three regions, two ranges, and a spare, that
// is looked at every half second while a plan is carried out.
func watched(t *testing.T, plan string, copies int, healed sim.Time) (*survey.Survey, *cluster.Cluster) {
	t.Helper()
	s := sim.New(sim.Config{Seed: 1})
	t.Cleanup(s.Close)
	w := invariants.New()
	topo := cluster.Uniform([]string{"us-east", "us-west", "europe-west"}, 1, 1, 1)
	topo.Spares = []nemesis.Place{{Name: "n4", Region: "asia", Zone: "a"}}
	c := cluster.New(s, cluster.Config{Topology: topo, MaxOffset: 500 * time.Millisecond, Observer: w})
	w.Attach(c)
	p, err := nemesis.ParsePlan(plan)
	if err != nil {
		t.Fatal(err)
	}
	nemesis.Run(s.World(), c, p, nemesis.Options{End: 20 * time.Second})
	c.Boot()
	look := survey.New(c, w, copies, healed)
	for s.Now() < sim.Time(30*time.Second) {
		s.RunUntil(s.Now().Add(500 * time.Millisecond))
		look.Look()
	}
	return look, c
}

// A range whose majority is down is an outage, from the first look to the first at which
// it is over, and says who is missing and why; a minority is none, but copies lack.
func TestOutages(t *testing.T) {
	s, _ := watched(t, "at T+5s crash n1 for 2s\nat T+10s crash n1 for 2s\nat T+10s power-loss n2 for 2s", 3, sim.Time(20*time.Second))
	var told []string
	for _, o := range s.Outages {
		if o.From < sim.Time(5*time.Second) {
			continue // while nodes begin
		}
		if o.From != sim.Time(10*time.Second) || o.To < sim.Time(12*time.Second) || o.To > sim.Time(14*time.Second) {
			t.Errorf("%+v", o)
		}
		told = append(told, o.Cause)
	}
	if len(told) != 2 || !strings.Contains(told[0], "2 of 3 voters missing: n1 (crashed by nemesis), n2 (power lost)") {
		t.Errorf("%q", told)
	}
	for _, m := range s.Moments {
		at := time.Duration(m.At)
		if at > 5*time.Second && at < 7*time.Second && (m.Lacking != 2 || m.Down != 0 || m.Nodes[0].Up || !m.Nodes[0].Here || m.Nodes[3].Here) {
			t.Errorf("%+v", m)
		}
	}
	if at := s.Restored(sim.Time(5 * time.Second)); at < int64(7*time.Second) || at > int64(9*time.Second) {
		t.Errorf("restored at %v", time.Duration(at))
	}
	if at := s.Restored(sim.Time(25 * time.Second)); at != 0 {
		t.Errorf("restored at %v what nothing had taken", time.Duration(at))
	}
	if v := s.Placement(5 * time.Second); v.Valid != checker.OK || v.Count("ranges") != 2 {
		t.Error(v)
	}
	if len(s.Tree) != 2 || !s.Tree[0].Desc.EndKey.Equal(s.Tree[1].Desc.StartKey) {
		t.Errorf("%+v", s.Tree)
	}
}

// Copies are not where they belong while one is on a disk that is lost, while there are
// too few of them for as many nodes as live, and while they could be further apart.
func TestMisplaced(t *testing.T) {
	s, _ := watched(t, "at T+5s lose-disk n1", 3, sim.Time(20*time.Second))
	if v := s.Placement(5 * time.Second); v.Valid != checker.Violation || !strings.Contains(v.Summary, "disk lost") {
		t.Error(v)
	}
	if at := s.Restored(sim.Time(5 * time.Second)); at != history.Never && at != 0 {
		t.Errorf("restored at %v", time.Duration(at))
	}
	s, _ = watched(t, "at T+5s add-node n4", 4, sim.Time(20*time.Second))
	if v := s.Placement(5 * time.Second); v.Valid != checker.Violation || !strings.Contains(v.Summary, "3 copies, not 4") {
		t.Error(v)
	}
	if v := s.Placement(20 * time.Second); v.Valid != checker.Vacuous { // its time is not over
		t.Error(v)
	}
}
