package replica

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// hold keeps back a message that tells a follower of nothing but a higher commit
// index. The next entries carry the index as well, and of what is not followed by
// entries the store tells all followers of all ranges at once, after a moment.
// Nobody waits for it: what is committed is known at the leader, and a follower
// that applies a moment later answers nothing sooner. Sent at once, as the library
// wants it, these messages and their answers were half of all.
//
// What is held is superseded by whatever else is sent to append: messages of one
// leader to one follower stay in order. (A leader that has to find out where a
// follower stands, and has no entries to ask with, asks a moment later too.)
func (r *Replica) hold(m *raftpb.Message) bool {
	i := slices.IndexFunc(r.held, func(h raftpb.Message) bool { return h.To == m.To })
	if len(m.Entries) > 0 || r.cfg.Tunables.CommitDelay == 0 {
		if i >= 0 {
			r.held = slices.Delete(r.held, i, i+1)
		}
		return false
	}
	if i >= 0 {
		r.held[i] = *m
		return true
	}
	if r.held = append(r.held, *m); !r.holding {
		r.holding = true
		r.cfg.Host.HoldsCommits(r)
	}
	return true
}

// TellCommits sends what was held back. If r does not lead any more, its term tells
// the followers to ignore it.
func (r *Replica) TellCommits() {
	r.holding = false
	if r.gone {
		return
	}
	for i := range r.held {
		r.address(&r.held[i])
	}
	clear(r.held)
	r.held = r.held[:0]
}
