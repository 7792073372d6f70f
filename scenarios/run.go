package scenarios

import (
	"fmt"
	"time"

	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/cluster/invariants"
	"simulacrum/cluster/survey"
	"simulacrum/nemesis"
	"simulacrum/sim"
	"simulacrum/sim/disk"
	"simulacrum/sim/env"
	"simulacrum/sim/network"
	"simulacrum/workloads"
)

// Options change how a run is made. The zero Options make all of it.
type Options struct {
	// Until stops the run at this virtual time, and nothing is judged that needs an
	// end. 0: run to the end.
	Until sim.Time
	// ForkAt and ForkSeed, Record and OnLog are those of sim.Config.
	ForkAt, ForkSeed     uint64
	Record               bool
	RecordFrom, RecordTo uint64
	OnLog                func(at sim.Time, who, line string)
}

// run is one run under way. T+0 is the moment at which the nodes are switched on:
// times of plans, traces and histories are all the same.
//
//	T+0              From          To = healed        Duration      + Settle
//	 | boot, elections | faults      |                  | final reads | replicas compared
//	 | clients work ------------------------------------|
type run struct {
	*Resolved
	opt      Options
	sim      *sim.Sim
	cluster  *cluster.Cluster
	watch    *invariants.Watcher
	survey   *survey.Survey // nil without the watcher
	runner   *nemesis.Runner
	workload workloads.Workload
	recorder *history.Recorder
	moments  []moment                    // of the operations, by id
	setUp    bool                        // the first client has touched every part of the key space
	sessions map[string]*cluster.Session // the latest of each client; looked up only
	stopped  bool                        // clients stop after their present operation
	ended    bool                        // and so do those of the final reads
	finals   []*final
	settled  bool // all replicas have what any had when the clients were done
	alike    bool // and at one moment afterwards were at the same index
	cut      bool // stopped by Options.Until
}

// final is how one client's final reads went.
type final struct {
	client string
	done   bool
	workloads.Final
}

// compareEvery is how often replicas are compared while faults go on.
const compareEvery = 5 * time.Second

// Run makes a run and judges it. It is a function of its arguments: whatever
// concerns wall time is for the caller to measure.
func Run(r *Resolved, opt Options) (*Result, error) {
	x, err := layOut(r, opt)
	if err != nil {
		return nil, err
	}
	defer x.sim.Close()
	x.work()
	if !x.cut {
		x.finish()
	}
	x.runner.Close()
	return x.result(), nil
}

// layOut is a run in which nothing has happened yet.
func layOut(r *Resolved, opt Options) (*run, error) {
	w, err := workloads.New(r.Scenario.Workload.Name, r.Params)
	if err != nil {
		return nil, fmt.Errorf("scenario %s: %w", r.Scenario.Name, err)
	}
	x := &run{Resolved: r, opt: opt, workload: w, recorder: history.NewRecorder(), sessions: map[string]*cluster.Session{}}
	x.build()
	return x, nil
}

func (x *run) build() {
	x.sim = sim.New(sim.Config{
		Seed: x.Seed, Knobs: x.knobValues(), Seams: x.seams(), ForkAt: x.opt.ForkAt, ForkSeed: x.opt.ForkSeed,
		Record: x.opt.Record, RecordFrom: x.opt.RecordFrom, RecordTo: x.opt.RecordTo, OnLog: x.opt.OnLog,
	})
	x.recorder.Told = x.told
	cfg := cluster.Config{
		Topology: x.Topology, Splits: x.workload.Splits(), Replicas: x.Replicas,
		Network: network.Config{Decode: x.Decode}, Disk: disk.Config{Profile: profile(x.Scenario.Disk.Profile)},
		MaxOffset: x.MaxOffset, Offsets: x.Offsets, ClientTimeout: time.Duration(x.Scenario.Workload.Timeout),
	}
	if x.Scenario.Checks.Invariants {
		x.watch = invariants.New()
		cfg.Observer = x.watch
	}
	x.cluster = cluster.New(x.sim, cfg)
	if x.watch != nil {
		x.watch.Attach(x.cluster)
		x.watch.ClocksWithin = x.clocksWithin
		x.survey = survey.New(x.cluster, x.watch, x.Replicas, sim.Time(x.Healed))
		x.compareLater()
	}
	if x.seeksDeadlocks() {
		x.seekDeadlocks(x.Healed)
	}
	x.runner = nemesis.Run(x.sim.World(), x.cluster, x.Plan, nemesis.Options{End: x.Healed})
	x.cluster.Boot()
	for _, c := range x.cluster.Clients() {
		c.Run(func(t env.Task, s *cluster.Session) { x.client(t, s) })
	}
}

func (x *run) knobValues() map[string]int64 {
	values := map[string]int64{}
	for _, k := range x.Knobs {
		values[k.Name] = k.Value
	}
	return values
}

// seams turns yield seams on for half of the seeds.
func (x *run) seams() map[string]int {
	rng := stream(x.Seed, "seams")
	if rng.IntN(2) == 0 {
		return nil
	}
	return map[string]int{"*": 8 << rng.IntN(6)} // of 1,024
}

func profile(name string) disk.Profile {
	switch name {
	case "ssd":
		return disk.SSD()
	case "spinning":
		return disk.Spinning()
	}
	return disk.NVMe()
}

// clocksWithin reports whether at this moment the clocks of all living nodes are
// within the maximum offset of each other.
func (x *run) clocksWithin() bool {
	lo, hi, any := time.Duration(0), time.Duration(0), false
	for _, n := range x.cluster.Nodes() {
		if !x.cluster.Alive(n.Name()) {
			continue
		}
		d := x.cluster.ClockOffset(n.Name())
		if !any {
			lo, hi, any = d, d, true
		}
		lo, hi = min(lo, d), max(hi, d)
	}
	return hi-lo <= x.MaxOffset
}

func (x *run) compareLater() {
	x.sim.Schedule(compareEvery, "compare replicas", func() {
		x.watch.CompareReplicas()
		x.compareLater()
	})
}

// deadlocksEvery is how often it is looked for deadlocks once everything has healed.
const deadlocksEvery = time.Second

// seeksDeadlocks reports that there are transactions that could have any.
func (x *run) seeksDeadlocks() bool {
	return x.watch != nil && workloads.Transactional(x.Scenario.Workload.Name)
}

func (x *run) seekDeadlocks(in time.Duration) {
	x.sim.Schedule(in, "look for deadlocks", func() {
		x.watch.LookForDeadlocks()
		x.seekDeadlocks(deadlocksEvery)
	})
}

// client is the life of one incarnation of a client.
func (x *run) client(t env.Task, s *cluster.Session) {
	x.sessions[s.Name()] = s
	c := x.workloadClient(s, "workload", &x.stopped)
	if !x.setUp && s.Name() == x.Topology.Clients[0].Name {
		// The others do not wait for it: a cluster that boots has clients too, and faults
		// do not wait for anybody.
		if err := x.workload.Setup(t, c); err != nil {
			return // the process ends, or the run does
		}
		x.setUp = true
	}
	x.workload.Run(t, c)
}

func (x *run) workloadClient(s *cluster.Session, stream string, done *bool) *workloads.Client {
	return &workloads.Client{
		KV: s, Recorder: x.recorder, Rand: s.Env().Rand(stream),
		Now:  func() int64 { return int64(x.sim.Now()) },
		Done: func() bool { return *done },
	}
}

// work lets the clients work until the run's duration is over.
func (x *run) work() {
	end := sim.Time(x.Duration)
	if x.opt.Until > 0 && x.opt.Until < end {
		end, x.cut = x.opt.Until, true
	}
	x.advance(end)
}

// finish stops the clients, has one of each region read and write everything once
// more, and waits until the replicas are alike.
func (x *run) finish() {
	x.stopped = true
	limit := x.sim.Now().Add(x.Settle)
	x.runWhile(x.sim.Now().Add(time.Duration(x.Scenario.Workload.Timeout)+clientsEnd), func() bool { return x.recorder.Open() > 0 })
	region := ""
	for _, p := range x.Topology.Clients {
		s := x.sessions[p.Name]
		if p.Region == region || s == nil || !x.cluster.Alive(p.Name) {
			continue
		}
		region = p.Region
		f := &final{client: p.Name}
		x.finals = append(x.finals, f)
		s.Env().Go("final", func(t env.Task) {
			t.SetDeadline(s.Env().Mono() + x.Settle)
			f.Final = x.workload.Final(t, x.workloadClient(s, "final", &x.ended))
			f.done = true
		})
	}
	x.runWhile(limit, func() bool { return !x.finalsDone() })
	x.ended = true
	if x.watch != nil {
		goals := x.watch.Goals()
		x.runWhile(limit.Add(x.Settle), func() bool { return !x.watch.CaughtUp() })
		x.alike = x.watch.CaughtUp()
		x.settled = x.alike || x.watch.Reached(goals)
		if x.alike {
			x.watch.CheckIndex()
		}
		x.watch.CompareReplicas()
	}
}

// clientsEnd is the time that clients have, beyond their time-out, for the operations
// in flight. Those of clients that died stay open for ever.
const clientsEnd = time.Second

func (x *run) finalsDone() bool {
	for _, f := range x.finals {
		if !f.done {
			return false
		}
	}
	return true
}

// runWhile goes on until the condition fails or the limit is reached.
func (x *run) runWhile(limit sim.Time, more func() bool) {
	for x.sim.Now() < limit && !x.sim.Halted() && more() {
		x.advance(min(limit, x.sim.Now().Add(100*time.Millisecond)))
	}
}
