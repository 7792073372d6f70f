package disk

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"simulacrum/sim"
	"simulacrum/sim/env"
)

// device serves syncs: a line, and a few channels that take from its head.
//
//	submit --> queue --> in service (a drawn time) --> done --> task woken
//	             |                                       |
//	        held by Stall                           held by Stall
//
// Service is a world event, not one of the machine's: the device works on while
// the processor is busy, the process paused or dead.
type device struct {
	disk     *Disk
	latency  *rand.Rand
	channels int
	busy     int
	serving  []*request // in service, in the order in which they began
	queue    env.Queue[*request]
	held     []*request // served, but the answer waits for a stall to end
	free     []*request
	epoch    uint64 // number of power losses: requests of an earlier one are void
}

// request is one sync of one inode.
type request struct {
	epoch  uint64
	inode  *inode
	data   mark   // of a file
	upTo   uint64 // of a directory: journal sequence
	err    error  // drawn when it is submitted
	served bool
	task   env.Task // that waits, or nil
	proc   *sim.Proc
	serve  func() // the event, made once for each request object
	event  sim.EventID
	due    sim.Time // when it is served, at the device's present speed
}

// prepare takes a request for what is written to n by now.
func (v *device) prepare(n *inode) *request {
	var r *request
	if last := len(v.free) - 1; last >= 0 {
		r, v.free = v.free[last], v.free[:last]
	} else {
		r = &request{}
		r.serve = func() { v.finish(r) }
	}
	r.epoch, r.inode, r.served, r.err = v.epoch, n, false, nil
	if n.dir == nil {
		r.data = n.file.begin()
	} else {
		r.data, r.upTo = mark{}, v.disk.volume.journal.next
	}
	return r
}

func (v *device) recycle(r *request) {
	r.inode, r.task, r.proc = nil, nil, nil
	v.free = append(v.free, r)
}

// service draws how long a request takes in the device.
func (v *device) service(r *request) time.Duration {
	d := v.disk.cfg.Profile.draw(v.latency, r.data.bytes)
	return v.disk.faults.slowed(d)
}

// submit puts a request in line.
func (v *device) submit(r *request) {
	v.queue.Push(r)
	v.disk.faults.stalled(1)
	v.pump()
}

// pump starts what can be started.
func (v *device) pump() {
	for v.busy < v.channels && !v.disk.faults.stalled(0) {
		r, ok := v.queue.TryPop()
		if !ok {
			return
		}
		v.busy++
		v.serving = append(v.serving, r)
		v.schedule(r, v.service(r))
	}
}

// schedule has a request served d from now.
func (v *device) schedule(r *request, d time.Duration) {
	r.due = v.disk.sim.Now().Add(d)
	r.event = v.disk.sim.Schedule(d, "disk sync", r.serve)
}

// speedChanged has what is in service go on num/den times as slowly as before: a
// sync that began while the disk was slow does not take for ever once it is not.
func (v *device) speedChanged(num, den int64) {
	for _, r := range v.serving {
		left := int64(r.due.Sub(v.disk.sim.Now()))
		if v.disk.sim.Cancel(r.event) {
			v.schedule(r, time.Duration(left/den*num+left%den*num/den))
		}
	}
}

// finish is the event at which a request has been served.
func (v *device) finish(r *request) {
	if r.epoch != v.epoch {
		return // the power went; what is durable was drawn then
	}
	v.busy--
	v.serving = slices.DeleteFunc(v.serving, func(o *request) bool { return o == r })
	if v.disk.faults.stalled(1) {
		v.held = append(v.held, r)
		return
	}
	v.answer(r)
	v.pump()
}

// answer applies the outcome and wakes who waits.
func (v *device) answer(r *request) {
	if len(v.disk.faults.gone) > 0 {
		r.err = syscall.EIO
	}
	v.apply(r)
	v.disk.sim.Note("disk synced", r.inode.id, v.disk.digest)
	if v.disk.sim.Recording() {
		v.remark(r)
	}
	r.served = true
	if r.task != nil && r.proc.Alive() {
		r.task.Wake()
	}
}

// remark tells the trace's readers how a sync ended.
func (v *device) remark(r *request) {
	what := fmt.Sprintf("file %d, %d bytes", r.inode.id, r.data.bytes)
	if r.inode.dir != nil {
		what = fmt.Sprintf("directory %d", r.inode.id)
	}
	if r.err != nil {
		v.disk.sim.Remark("%s did not sync %s: %v", v.disk.name, what, r.err)
		return
	}
	v.disk.sim.Remark("%s synced %s", v.disk.name, what)
}

// apply makes durable what the request covers, or gives it up. A directory whose
// sync failed keeps its operations pending: file systems journal them and stop
// altogether when the journal fails, so that nothing is dropped in silence.
func (v *device) apply(r *request) {
	n := r.inode
	switch {
	case n.dir != nil && r.err == nil:
		v.disk.volume.journal.commit(n, r.upTo)
	case n.dir == nil && r.err == nil:
		n.file.complete(r.data)
	case n.dir == nil:
		n.file.fail(r.data)
	}
}

// resume goes on after a stall.
func (v *device) resume() {
	held := v.held
	v.held = nil
	for _, r := range held {
		v.answer(r)
	}
	v.pump()
}

// powerLoss forgets all that is in line or in service.
func (v *device) powerLoss() {
	v.epoch++
	v.busy, v.serving, v.queue, v.held = 0, nil, env.Queue[*request]{}, nil
}

// sync makes n durable as of now, taking the time that it takes.
func (v *device) sync(m *mount, n *inode, name string) error {
	r := v.prepare(n)
	if v.disk.faults.sync.hits(name) {
		r.err = syscall.EIO
	}
	var task env.Task
	if m.proc != nil {
		task = m.proc.Current()
	}
	if task == nil { // a callback, or nobody: it cannot wait
		if m.proc != nil {
			if m.proc.Busy(v.service(r)); v.disk.faults.stalled(1) {
				v.disk.faults.freeze(m.proc.Machine())
			}
		}
		v.apply(r)
		err := r.err
		v.recycle(r)
		return pathError("sync", name, err)
	}
	r.task, r.proc = task, m.proc
	v.submit(r)
	for !r.served {
		if err := task.Park("disk sync", -1); err != nil && !r.served {
			r.task = nil // the device still has the request: it is not recycled
			return &fs.PathError{Op: "sync", Path: name, Err: err}
		}
	}
	err := r.err
	v.recycle(r)
	if err == nil && !m.alive() {
		err = ErrDead
	}
	return pathError("sync", name, err)
}
