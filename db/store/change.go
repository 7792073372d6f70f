package store

import (
	"fmt"
	"slices"
	"time"

	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// The replicas of a range are changed in steps, each of them a transaction over descriptor
// and index, whose commit does the step on every replica (db/replica/change.go):
//
//	1  leave what an earlier change left: a joint configuration, learners
//	2  add a learner for each replica that is new, one after the other
//	3  send each the state, and wait until it follows the log
//	4  let it vote: at once, if that is all; else by a joint configuration, in which
//	   those that are to go are demoted at the same moment
//	5  hand over the lease, if its holder is among them; the next one does the rest
//	6  leave the joint configuration
//	7  remove the learners that are left of those that were demoted
//
// What fails before 4 is taken back. After that a change is not taken back but finished,
// by whoever asks for the next one: all that it needs to know is in the descriptor.

// change is one request to change replicas, at work.
type change struct {
	s    *Store
	r    *replica.Replica
	q    *kv.AdminChangeReplicasRequest
	desc *kv.RangeDescriptor // as the last step left it
	// steps counts those that were made. From the first one on the request has had an effect.
	steps int
	// done: another leaseholder has done the rest.
	done bool
}

const (
	// changePatience is how long a change may take, and changeUndo how long it takes to
	// take back what it did.
	changePatience = time.Minute
	changeUndo     = 10 * time.Second
	// changeGrace is how long a store may be down that is to have a learner or the lease.
	changeGrace = 5 * time.Second
	// changePause is how long it waits between two looks at something that takes time.
	changePause = 50 * time.Millisecond
)

// ChangeReplicas implements replica.Host. The work is a task of its own, so that it does
// not stop half way when nobody waits for it any more. Of two changes of one range at a
// time the second is refused: it would take the first one's learners for left over.
func (s *Store) ChangeReplicas(t env.Task, r *replica.Replica, q *kv.AdminChangeReplicasRequest) (*kv.RangeDescriptor, *kv.Error) {
	if s.cfg.DB == nil {
		return nil, kv.Errorf(kv.BadRequest, "s%d makes no transactions of its own", s.cfg.StoreID)
	}
	c := &change{s: s, r: r, q: q, desc: r.Desc()}
	if err := c.check(); err != nil {
		return nil, err
	}
	id := r.RangeID()
	if slices.Contains(s.changing, id) {
		return nil, kv.Errorf(kv.ConditionFailed, "the replicas of r%d are being changed: wait for the end of that", id)
	}
	s.changing = append(s.changing, id)
	var end env.Promise[*kv.RangeDescriptor]
	s.cfg.Env.Go("store: change of replicas", func(t env.Task) {
		t.SetDeadline(s.cfg.Env.Mono() + changePatience)
		err := c.run(t)
		s.changing = slices.DeleteFunc(s.changing, func(o kv.RangeID) bool { return o == id })
		end.Resolve(c.desc, err)
	})
	d, err := end.Wait(t, "change of replicas", -1)
	switch {
	case err == nil:
		return d, nil
	case !end.Ready():
		return nil, kv.AmbiguousError(nil, "nobody waits for the change of replicas, which goes on")
	case c.steps > 0:
		return nil, kv.AmbiguousError(kv.AsError(err), "%d steps of a change of replicas were made", c.steps)
	}
	return nil, kv.AsError(err)
}

// check refuses what makes no sense for the range as it is.
func (c *change) check() *kv.Error {
	if g := c.q.Generation; g != 0 && g != c.desc.Generation {
		return kv.Errorf(kv.ConditionFailed, "%s has not generation %d", c.desc, g)
	}
	voters := 0
	for i, ch := range c.q.Changes {
		if ch.StoreID <= 0 || ch.NodeID <= 0 {
			return kv.Errorf(kv.BadRequest, "no store: %s", ch)
		}
		if slices.ContainsFunc(c.q.Changes[:i], func(o kv.ReplicaChange) bool { return o.StoreID == ch.StoreID }) {
			return kv.Errorf(kv.BadRequest, "s%d is named twice", ch.StoreID)
		}
		if is, ok := c.desc.Replica(ch.StoreID); ok && is.NodeID != ch.NodeID {
			return kv.Errorf(kv.BadRequest, "s%d is not of n%d: the range has %s", ch.StoreID, ch.NodeID, is)
		}
		if ch.To == kv.RoleVoter {
			voters++
		}
	}
	for _, d := range c.desc.Replicas {
		if _, named := c.wants(d.StoreID); !named && kv.RoleOf(d.Type) == kv.RoleVoter {
			voters++
		}
	}
	if voters == 0 {
		return kv.Errorf(kv.BadRequest, "nobody would vote in %s after %s", c.desc, c.q)
	}
	if n := len(c.desc.Replicas) + len(c.q.Changes); n > kv.MaxReplicas {
		return kv.Errorf(kv.BadRequest, "r%d would have up to %d replicas, which is more than %d", c.desc.RangeID, n, kv.MaxReplicas)
	}
	return nil
}

// wants is what the replica on a store is to become, if the request names it.
func (c *change) wants(s kv.StoreID) (to kv.ReplicaRole, named bool) {
	for _, ch := range c.q.Changes {
		if ch.StoreID == s {
			return ch.To, true
		}
	}
	return kv.RoleNone, false
}

// run takes all steps.
func (c *change) run(t env.Task) error {
	if err := c.tidy(t); err != nil || c.done {
		return err
	}
	added, err := c.addLearners(t)
	if err == nil {
		err = c.awaitLearners(t)
	}
	if err != nil {
		c.takeBack(t, added)
		return err
	}
	if err := c.promote(t); err != nil {
		if !c.desc.Joint() {
			c.takeBack(t, added)
		}
		return err
	}
	return c.tidy(t)
}

// tidy leaves a joint configuration, and then removes or renames learners that wait for
// nothing else.
func (c *change) tidy(t env.Task) error {
	if c.desc.Joint() {
		c.s.cfg.Env.Probe(probeChangeJoint)
		if self, _ := c.desc.ReplicaByID(c.r.Self().ReplicaID); kv.RoleOf(self.Type) != kv.RoleVoter {
			return c.handOver(t)
		}
		if err := c.step(t, c.desc.LeaveJoint()); err != nil {
			return err
		}
	}
	for _, d := range slices.Clone(c.desc.Replicas) {
		to, named := c.wants(d.StoreID)
		var err error
		switch {
		case d.Type == kv.Learner && to == kv.RoleNone, d.Type == kv.NonVoter && named && to == kv.RoleNone:
			err = c.step(t, c.without(d.ReplicaID))
		case d.Type == kv.Learner && to == kv.RoleNonVoter:
			err = c.step(t, c.retyped(func(o kv.ReplicaDescriptor) kv.ReplicaType {
				if o == d {
					return kv.NonVoter
				}
				return o.Type
			}))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addLearners adds a replica that does not vote on each store that is to have one and has
// none.
func (c *change) addLearners(t env.Task) (added []kv.ReplicaID, err error) {
	for _, ch := range c.q.Changes {
		if _, there := c.desc.Replica(ch.StoreID); there || ch.To == kv.RoleNone {
			continue
		}
		next := c.next()
		d := kv.ReplicaDescriptor{NodeID: ch.NodeID, StoreID: ch.StoreID, ReplicaID: next.NextReplicaID, Type: kv.Learner}
		if ch.To == kv.RoleNonVoter {
			d.Type = kv.NonVoter
		}
		next.Replicas = append(next.Replicas, d)
		next.NextReplicaID++
		if err := c.step(t, next); err != nil {
			return added, err
		}
		added = append(added, d.ReplicaID)
	}
	return added, nil
}

// awaitLearners waits until all replicas that do not vote, and that the request names,
// have the state and follow the log. Only then may one have a vote: before, it would count
// in majorities and could not acknowledge anything.
func (c *change) awaitLearners(t env.Task) error {
	for _, d := range c.desc.Replicas {
		if _, named := c.wants(d.StoreID); !named || d.Type != kv.Learner && d.Type != kv.NonVoter {
			continue
		}
		sent := false // if it gets lost after that, consensus asks for another
		live := c.s.cfg.Env.Mono()
		for index := c.r.State().AppliedIndex; !c.r.Follows(d.ReplicaID, index); {
			if !sent && c.r.IsLeader() && !c.s.snapshots.under(c.r, d) {
				err := c.s.snapshots.transfer(t, c.r, d)
				if sent = err == nil; !sent {
					c.s.cfg.Env.Log("change of r%d: snapshot to %s, to be tried again: %v", c.desc.RangeID, d, err)
				}
			}
			if err := c.pause(t); err != nil {
				return fmt.Errorf("waiting for %s to catch up: %w", d, err)
			}
			if now := c.s.cfg.Env.Mono(); c.s.Live(d.NodeID) {
				live = now
			} else if now-live > changeGrace {
				return fmt.Errorf("waiting for %s to catch up: n%d is down", d, d.NodeID)
			}
		}
		c.s.cfg.Env.Probe(probeLearnerThere)
	}
	return nil
}

// pause lets some time pass. An error says that there is no more, or no lease.
func (c *change) pause(t env.Task) error {
	if err := t.Sleep(changePause); err != nil {
		return err
	}
	if c.r.Gone() || c.r.State().Lease.Replica.ReplicaID != c.r.Self().ReplicaID {
		return fmt.Errorf("the lease of r%d is gone", c.desc.RangeID)
	}
	return nil
}

// promote gives the vote to those who are to have it, and begins to take it from those who
// are not.
func (c *change) promote(t env.Task) error {
	comes := func(d kv.ReplicaDescriptor) bool {
		to, _ := c.wants(d.StoreID)
		return to == kv.RoleVoter && d.Type != kv.VoterFull
	}
	goes := func(d kv.ReplicaDescriptor) bool {
		to, named := c.wants(d.StoreID)
		return named && to != kv.RoleVoter && d.Type == kv.VoterFull
	}
	in, out := 0, 0
	for _, d := range c.desc.Replicas {
		if comes(d) {
			in++
		} else if goes(d) {
			out++
		}
	}
	if in+out == 0 {
		return nil
	}
	return c.step(t, c.retyped(func(d kv.ReplicaDescriptor) kv.ReplicaType {
		switch {
		case comes(d) && in == 1 && out == 0:
			return kv.VoterFull
		case comes(d):
			return kv.VoterIncoming
		case goes(d):
			return kv.VoterDemoting
		}
		return d.Type
	}))
}

// handOver gives the lease to a voter that stays, and has its store do the rest. The store
// that was asked for may be down by now: then another one takes the lease, since the joint
// configuration, and all that queues behind the change, must not wait until it comes back
// (scenarios/found/lease-to-the-dead).
func (c *change) handOver(t env.Task) error {
	to, live := c.q.LeaseTo, c.s.cfg.Env.Mono()
	for moved := false; !moved; {
		if d, ok := c.desc.Replica(to); ok && c.s.Live(d.NodeID) {
			live = c.s.cfg.Env.Mono()
		} else if to != 0 && c.s.cfg.Env.Mono()-live > changeGrace {
			c.s.cfg.Env.Log("change of r%d: the lease does not go to s%d, which is down: any other may have it", c.desc.RangeID, to)
			to = 0
		}
		for _, d := range c.desc.Replicas {
			if kv.RoleOf(d.Type) != kv.RoleVoter || to != 0 && to != d.StoreID || !c.s.Live(d.NodeID) {
				continue
			}
			_, err := c.r.TransferLease(t, d.StoreID)
			if moved = err == nil; moved {
				break
			}
			c.s.cfg.Env.Log("change of r%d: the lease does not go to %s: %v", c.desc.RangeID, d, err)
		}
		if !moved {
			if err := c.pause(t); err != nil {
				return fmt.Errorf("handing over the lease: %w", err)
			}
		}
	}
	c.s.cfg.Env.Probe(probeChangeHanded)
	rest := &kv.AdminChangeReplicasRequest{Key: c.q.Key, Changes: c.q.Changes}
	br, err := c.s.cfg.DB.Batch(t, kv.Header{}, rest)
	if err != nil {
		return err
	}
	d := br.Responses[0].(*kv.AdminChangeReplicasResponse).Desc
	c.desc, c.done = &d, true
	return nil
}

// takeBack removes the learners that were added in vain, if the range still has them.
func (c *change) takeBack(t env.Task, added []kv.ReplicaID) {
	t.SetDeadline(c.s.cfg.Env.Mono() + changeUndo)
	c.desc = c.r.Desc()
	for _, id := range added {
		if d, ok := c.desc.ReplicaByID(id); !ok || d.Type != kv.Learner && d.Type != kv.NonVoter || c.desc.Joint() {
			continue
		}
		if err := c.step(t, c.without(id)); err != nil {
			c.s.cfg.Env.Log("change of r%d: replica %d is left behind: %v", c.desc.RangeID, id, err)
			return
		}
		c.s.cfg.Env.Probe(probeChangeTakenBack)
	}
}

// next is a descriptor like the present one, to be changed.
func (c *change) next() *kv.RangeDescriptor {
	next := *c.desc
	next.Replicas = slices.Clone(c.desc.Replicas)
	next.Generation++
	return &next
}

func (c *change) without(id kv.ReplicaID) *kv.RangeDescriptor {
	next := c.next()
	next.Replicas = slices.DeleteFunc(next.Replicas, func(d kv.ReplicaDescriptor) bool { return d.ReplicaID == id })
	return next
}

func (c *change) retyped(to func(kv.ReplicaDescriptor) kv.ReplicaType) *kv.RangeDescriptor {
	next := c.next()
	for i, d := range next.Replicas {
		next.Replicas[i].Type = to(d)
	}
	return next
}

// step replaces the descriptor by the next one, everywhere at once.
func (c *change) step(t env.Task, next *kv.RangeDescriptor) error {
	err := c.s.cfg.DB.TxnWith(t, kv.TxnOptions{Name: "change"}, func(tx *kv.TxnHandle) error {
		// The first write is the anchor: the record is in the range that the trigger changes.
		if err := tx.CPut(t, keys.RangeDescriptorKey(next.StartKey), next.Encode(nil), c.desc.Encode(nil)); err != nil {
			return err
		}
		for _, k := range keys.MetaKeys(next.StartKey, next.EndKey) {
			if err := tx.Put(t, k, next.Encode(nil)); err != nil {
				return err
			}
		}
		return tx.CommitTrigger(t, &kv.CommitTrigger{Change: &kv.ChangeTrigger{Desc: *next}})
	})
	if err != nil {
		if kv.AsError(err).Kind == kv.ConditionFailed {
			c.s.cfg.Env.Probe(probeChangeLost)
		}
		return err
	}
	c.desc = next
	c.steps++
	return nil
}
