package replica

import (
	"time"

	"go.etcd.io/raft/v3"
)

// rearm puts off the next campaign by the whole election time-out. It is called
// at each sign of a living leader, when a real vote was granted, and, with draw,
// when role or term changed and after each campaign: the library refuses some
// silently, and two replicas that tied must not tie again.
func (r *Replica) rearm(draw bool) {
	e := &r.election
	e.elapsed = 0
	if e.timer != 0 {
		r.cfg.Env.Stop(e.timer)
		e.timer = 0
	}
	if draw {
		n := r.cfg.Tunables.ElectionTicks
		e.target = n + 1 + e.rand.IntN(n)
	}
}

// tickElection counts one tick without a leader. Peers ignore whoever asks before
// they have missed ElectionTicks themselves, hence the target lies above that; a
// drawn part of a tick keeps replicas whose ticks coincide apart.
func (r *Replica) tickElection() {
	e := &r.election
	e.elapsed++
	if e.elapsed < e.target || e.timer != 0 {
		return
	}
	d := time.Duration(e.rand.Int64N(int64(r.cfg.Tunables.Tick)))
	e.timer = r.cfg.Env.After(d, "election", func() {
		e.timer = 0
		r.campaign()
	})
}

// campaign stands for election, if that makes sense.
func (r *Replica) campaign() {
	if r.role == raft.StateLeader || r.quiesced {
		return
	}
	r.cfg.Env.Probe(probeCampaign)
	r.rearm(true)
	_ = r.rn.Campaign() // it has no error to give for a local message
	r.cfg.Host.Ready(r)
}
