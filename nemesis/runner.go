package nemesis

import (
	"fmt"
	"slices"
	"time"

	"simulacrum/sim/env"
)

// Options of a Runner.
type Options struct {
	// End is when every fault that is still in force heals, in time of the run.
	End time.Duration
	// Restart is how long after it died of itself (its disk failed, its memory ran
	// out) an endpoint is started again. 0: 1 s.
	Restart time.Duration
}

// Report is what one fault of a plan did.
type Report struct {
	Fault Fault
	// Done is how many of its repetitions began. 0: it never did.
	Done int
	// Start is when the first began, End when the last ended, in time of the run.
	Start, End time.Duration
	// Count is how often it made a difference: processes ended, frames kept back or
	// touched, disk operations touched, clock changes, ranges that did as they were
	// asked.
	Count int64
	// Hits are the times, of a fault that waited for a probe, with who had reached it.
	Hits []Hit
	// Nothing says why, if it changed nothing.
	Nothing string
}

// Hit is one repetition of a fault that waited for a probe.
type Hit struct {
	At   time.Duration // since the run began
	Node string        // who reached the probe
}

// String is a line for a person.
func (r Report) String() string {
	if r.Nothing != "" {
		return fmt.Sprintf("%s: DID NOTHING: %s", r.Fault, r.Nothing)
	}
	return fmt.Sprintf("%s: %d times from %s to %s, %d effects", r.Fault, r.Done, formatTime(r.Start), formatTime(r.End), r.Count)
}

// Runner carries out a plan. All of it happens in callbacks of the world's
// process, and inside the event of a probe that a fault waits for.
type Runner struct {
	world env.Process
	t     Target
	topo  Topology
	nodes []string // of topo
	opt   Options
	start time.Duration // the world's Mono at T+0

	faults    []*running
	endpoints []*endpoint
	timers    []env.Timer
	watched   []*visits
	revived   int64
	over      bool // the window has ended: nothing begins any more
	closed    bool
}

// running is one fault of the plan and what it did.
type running struct {
	Fault  // as it was last done: Any is who had reached the probe
	report Report
	active []*occurrence // those repetitions that are in force
	late   []Effect      // of repetitions that are over, but whose outcome comes later
	reason string        // why the last attempt changed nothing
}

// occurrence is one repetition of a fault, in force.
type occurrence struct {
	fault Fault
	heal  func()
	count func() int64
	timer env.Timer
}

// endpoint is what the runner holds against one process. Faults overlap: it is
// started again when the last one lets go.
type endpoint struct {
	name    string
	down    int     // faults that keep it from running
	paused  int     // faults that keep it frozen
	slow    []int64 // factors in force
	gone    bool    // its disk is lost and nobody replaces it
	clock   int     // clock faults in force that end of themselves
	home    time.Duration
	stepped bool // its clock was moved and not put back
	bends   []*bend
	acting  *bend  // the one of bends that is in force at the target, since bentAt
	bending Effect // of acting
	bentAt  time.Duration
	reviver env.Timer
}

// visits counts an endpoint's visits, or those of Any, to a probe that some fault waits for.
type visits struct {
	node  string
	probe env.Probe
	n     int64
}

// superviseEvery is how often the runner looks for processes that died of
// themselves.
const superviseEvery = 250 * time.Millisecond

// Run schedules the plan's faults. The run begins now: T+0 is this instant. It is
// called once for a target, from a world callback or before the first event.
func Run(world env.Process, t Target, plan *Plan, opt Options) *Runner {
	if opt.Restart == 0 {
		opt.Restart = time.Second
	}
	r := &Runner{world: world, t: t, topo: t.Topology(), opt: opt, start: world.Mono()}
	r.nodes = names(r.topo.All())
	for _, name := range r.topo.everyone() {
		r.endpoints = append(r.endpoints, &endpoint{name: name, home: t.ClockOffset(name)})
	}
	for _, f := range plan.Faults {
		x := &running{Fault: f, report: Report{Fault: f}}
		r.faults = append(r.faults, x)
		if f.At.Probe != "" {
			r.watch(f.At)
		} else if f.At.T < opt.End {
			r.after(f.At.T, func() { r.begin(x) })
		}
	}
	if len(r.watched) > 0 {
		t.OnProbe(r.onProbe)
	}
	r.after(opt.End, r.HealAll)
	r.after(superviseEvery, r.supervise)
	return r
}

// now is the time of the run.
func (r *Runner) now() time.Duration { return r.world.Mono() - r.start }

func (r *Runner) after(d time.Duration, fn func()) env.Timer {
	timer := r.world.After(d, "nemesis", fn)
	r.timers = append(r.timers, timer)
	return timer
}

// begin starts a fault's first repetition and schedules the others.
func (r *Runner) begin(x *running) {
	for i := 1; i < x.Times; i++ {
		r.after(time.Duration(i)*x.Every, func() { r.once(x) })
	}
	r.once(x)
}

// once starts one repetition of a fault.
func (r *Runner) once(x *running) {
	if r.over {
		return
	}
	if x.report.Done == 0 {
		x.report.Start = r.now()
	}
	x.report.Done++
	r.world.Log("nemesis: %s", x.Fault)
	o := &occurrence{fault: x.Fault, heal: func() {}, count: func() int64 { return 0 }}
	x.active = append(x.active, o)
	r.apply(x, o)
	if !kinds[x.Kind].lasting {
		r.heal(x, o)
	} else if d := r.length(x); d > 0 {
		o.timer = r.after(d, func() { r.heal(x, o) })
	}
}

// heal ends one repetition.
func (r *Runner) heal(x *running, o *occurrence) {
	i := slices.Index(x.active, o)
	if i < 0 {
		return
	}
	x.active = slices.Delete(x.active, i, i+1)
	r.world.Stop(o.timer)
	o.heal()
	if kinds[x.Kind].lasting {
		r.world.Log("nemesis: healed: %s", o.fault)
	}
	x.report.Count += o.count()
	x.report.End = r.now()
}

// HealAll ends every fault, puts the clocks back, and starts every process that
// is down. Nothing begins after it. It is called at the end of the window, and may
// be called before.
func (r *Runner) HealAll() {
	if r.over {
		return
	}
	r.over = true
	for _, x := range r.faults {
		for len(x.active) > 0 {
			r.heal(x, x.active[0])
		}
	}
	for _, e := range r.endpoints {
		if e.stepped {
			e.stepped = false
			r.goHome(e)
		}
		if !e.gone {
			r.t.Start(e.name)
		}
	}
}

// Close ends all of the runner's doings without healing anything.
func (r *Runner) Close() {
	r.over, r.closed = true, true
	for _, t := range r.timers {
		r.world.Stop(t)
	}
	r.timers = nil
}

// Reports lists what each fault of the plan did so far, in the plan's order. Of
// faults in force, the effects until now are counted.
func (r *Runner) Reports() []Report {
	var all []Report
	for _, x := range r.faults {
		rep := x.report
		for _, o := range x.active {
			rep.Count += o.count()
			rep.End = r.now()
		}
		for _, e := range x.late {
			rep.Count += e.Count()
		}
		switch {
		case rep.Done == 0 && x.At.Probe != "":
			who := x.At.Node
			if who == Any {
				who = "the nodes"
			}
			rep.Nothing = fmt.Sprintf("%s reached the probe %d times", who, r.visitsOf(x.At).n)
		case rep.Done == 0:
			rep.Nothing = "its time did not come"
		case rep.Count == 0:
			rep.Nothing = x.reason
			if rep.Nothing == "" {
				rep.Nothing = "nothing passed that it could have touched"
			}
		}
		all = append(all, rep)
	}
	return all
}

// Revived is how many processes had died of themselves and were started again.
func (r *Runner) Revived() int64 { return r.revived }

// Happened is the plan with the moments at which its faults really began, those
// that waited for a probe included; those that never began are left out. Its
// Budget is exact where the plan's own must assume the worst.
func Happened(reports []Report) *Plan {
	p := &Plan{}
	for _, rep := range reports {
		if rep.Done == 0 {
			continue
		}
		if rep.Fault.At.Probe == "" {
			p.Faults = append(p.Faults, rep.Fault)
		}
		for _, h := range rep.Hits {
			f := rep.Fault.reachedBy(h.Node)
			f.At, f.Times, f.Every = Trigger{T: h.At}, 1, 0
			p.Faults = append(p.Faults, f)
		}
	}
	p.Sort()
	return p
}

// watch has the visits counted that a trigger waits for.
func (r *Runner) watch(at Trigger) {
	if r.visitsOf(at) == nil {
		r.watched = append(r.watched, &visits{node: at.Node, probe: at.Probe})
	}
}

func (r *Runner) visitsOf(at Trigger) *visits {
	for _, v := range r.watched {
		if v.node == at.Node && v.probe == at.Probe {
			return v
		}
	}
	return nil
}

// onProbe runs inside the event that reached the probe.
func (r *Runner) onProbe(name string, p env.Probe) {
	if r.over {
		return
	}
	awaited := false
	for _, v := range r.watched {
		if v.probe == p && r.isAt(name, v.node) {
			v.n++
			awaited = true
		}
	}
	if !awaited {
		return
	}
	for _, x := range r.faults {
		if x.At.Probe == p && r.isAt(name, x.At.Node) && r.due(x) {
			x.report.Hits = append(x.report.Hits, Hit{r.now(), name})
			x.Fault = x.report.Fault.reachedBy(name)
			r.once(x)
		}
	}
}

// isAt reports whether an endpoint that reaches a probe is the one that a trigger names.
func (r *Runner) isAt(name, node string) bool {
	return name == node || node == Any && slices.Contains(r.nodes, name)
}

// due reports whether this visit is one at which a fault is done: the one that it names, or
// a later one, long enough after the last, if it is done more than once.
func (r *Runner) due(x *running) bool {
	done := len(x.report.Hits)
	if done == 0 {
		return r.visitsOf(x.At).n >= x.At.Nth
	}
	return done < x.Times && r.now() >= x.report.Hits[done-1].At+x.Every
}

// supervise starts processes again that died though no fault holds them down.
func (r *Runner) supervise() {
	if r.closed {
		return
	}
	for _, e := range r.endpoints {
		if e.down > 0 || e.reviver != 0 || r.t.Alive(e.name) {
			continue
		}
		e.reviver = r.after(r.opt.Restart, func() {
			e.reviver = 0
			if e.down == 0 && r.t.Start(e.name) {
				r.revived++
			}
		})
	}
	r.after(superviseEvery, r.supervise)
}

func (r *Runner) endpoint(name string) *endpoint {
	for _, e := range r.endpoints {
		if e.name == name {
			return e
		}
	}
	return &endpoint{name: name}
}
