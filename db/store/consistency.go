package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim/env"
)

// consistency compares the replicas of the ranges of which the store has the lease, now
// and then. All compute a checksum of what they have in common at one place of the log
// (db/replica/checksum.go); this store collects them. Replicas that differ from most
// others are wrong, through their disks or through an error of ours, and so is what they
// would serve: their nodes end themselves, and an Observer is told.
//
// One that cannot be reached, or did not apply the command, since it got the state by a
// snapshot or was down, is not compared this time.
type consistency struct {
	queue
	s        *Store
	rate     int64
	observer ConsistencyObserver // may be nil
	sums     map[replica.CommandID]*checksum
	recent   []*checksum // those of sums, oldest first
}

// ConsistencyObserver is an Observer that wants to know of the comparison of replicas.
type ConsistencyObserver interface {
	// Compared is told how many replicas of a range were found to be the same.
	Compared(id kv.RangeID, replicas int)
	// Diverged is told that replicas of a range differ, and whose nodes end for it. That is
	// a violation of safety, whatever caused it.
	Diverged(id kv.RangeID, wrong []kv.ReplicaDescriptor, verdict string)
}

// checksum is one that is computed here, or that somebody asks for.
type checksum struct {
	id    replica.CommandID
	since time.Duration // Mono
	done  env.Promise[ChecksumReply]
}

const (
	// checksumKept is how long results are kept for those who ask.
	checksumKept = 2 * time.Minute
	// ChecksumLimit is how long it may take to be told a checksum; checksumWait is for how
	// long the other store waits for its replica to apply the command and to compute it.
	ChecksumLimit = 15 * time.Second
	checksumWait  = 10 * time.Second
	// checksumChunk is how much is read in one go.
	checksumChunk = 64 << 10
	// checksumPatience is how long one range may keep the others waiting.
	checksumPatience = 2 * time.Minute
)

func (c *consistency) init(s *Store) {
	p := s.cfg.Env
	c.s, c.rate, c.sums = s, p.Knob(&knobChecksumRate), map[replica.CommandID]*checksum{}
	c.observer, _ = s.cfg.Observer.(ConsistencyObserver)
	c.queue.init(p, (*heldRanges)(s), "store: consistency queue", env.Duration(p, &knobConsistency), checksumPatience, c)
}

func (c *consistency) tick() {
	n := 0
	for n < len(c.recent) && c.recent[n].since+checksumKept < c.p.Mono() {
		delete(c.sums, c.recent[n].id)
		n++
	}
	c.recent = slices.Delete(c.recent, 0, n)
	c.queue.tick()
}

// need implements queueWork: each range is due when its turn comes. If nobody has its
// lease, because nobody uses it, that is taken for the purpose: what lies still may rot.
func (c *consistency) need(id kv.RangeID) int {
	if r := c.s.Replica(id); r == nil || r.Charge() == replica.NoCharge {
		return 0
	}
	return 1
}

// view implements queueWork: nobody is ever stuck.
func (c *consistency) view() uint64 { return 0 }

// process implements queueWork.
func (c *consistency) process(t env.Task, id kv.RangeID) (verdict, error) {
	r := c.s.Replica(id)
	if err := (*placedReplicas)(c.s).send(t, id, &kv.RequestLeaseRequest{Key: r.Desc().StartKey}); err != nil {
		return failed, err
	}
	cmd, err := r.RequestChecksum(t)
	if err != nil {
		return failed, err
	}
	replicas := r.Desc().Replicas
	replies := make([]ChecksumReply, len(replicas))
	for i, d := range replicas {
		q := &ChecksumRequest{RangeID: id, ID: cmd}
		if d.StoreID == c.s.cfg.StoreID {
			replies[i] = *c.s.HandleChecksum(t, q)
			continue
		}
		if reply, err := c.s.cfg.Transport.CollectChecksum(t, d.NodeID, q); err == nil {
			replies[i] = *reply
		}
	}
	return settled, c.compare(t, id, cmd, replicas, replies)
}

// compare judges what was collected, and has those ended that differ.
func (c *consistency) compare(t env.Task, id kv.RangeID, cmd replica.CommandID, replicas []kv.ReplicaDescriptor, replies []ChecksumReply) error {
	known, best, most := 0, 0, 0
	for i := range replies {
		if !replies[i].Known {
			continue
		}
		known++
		same := 0
		for k := range replies {
			if replies[k] == replies[i] {
				same++
			}
		}
		if same > most || same == most && replicas[i].StoreID == c.s.cfg.StoreID {
			best, most = i, same
		}
	}
	c.p.Probe(probeCompared)
	if most == known {
		if c.observer != nil {
			c.observer.Compared(id, known)
		}
		return nil
	}
	var wrong []kv.ReplicaDescriptor
	var b strings.Builder
	fmt.Fprintf(&b, "replicas of r%d differ:", id)
	for i := range replies {
		fmt.Fprintf(&b, " %s has %s;", replicas[i], &replies[i])
		if replies[i].Known && replies[i] != replies[best] {
			wrong = append(wrong, replicas[i])
		}
	}
	fmt.Fprintf(&b, " %v, unlike most, must not serve what they hold", wrong)
	c.end(t, id, cmd, wrong, b.String())
	return errors.New(b.String())
}

// end ends the nodes of replicas that are wrong, this one last if it is among them.
func (c *consistency) end(t env.Task, id kv.RangeID, cmd replica.CommandID, wrong []kv.ReplicaDescriptor, verdict string) {
	c.p.Probe(probeDiverged)
	if c.observer != nil {
		c.observer.Diverged(id, wrong, verdict)
	}
	self := false
	for _, d := range wrong {
		if d.StoreID == c.s.cfg.StoreID {
			self = true
			continue
		}
		_, _ = c.s.cfg.Transport.CollectChecksum(t, d.NodeID, &ChecksumRequest{RangeID: id, ID: cmd, Verdict: verdict})
	}
	if self {
		c.p.Fatal(errors.New("store: " + verdict))
	}
}

// sum is the checksum that a command stands for, be it computed, under way, or to come.
func (c *consistency) sum(id replica.CommandID) *checksum {
	if s := c.sums[id]; s != nil {
		return s
	}
	s := &checksum{id: id, since: c.p.Mono()}
	c.sums[id] = s
	c.recent = append(c.recent, s)
	return s
}

// HandleChecksum answers another store's question, or takes its verdict.
func (s *Store) HandleChecksum(t env.Task, q *ChecksumRequest) *ChecksumReply {
	if q.Verdict != "" {
		s.cfg.Env.Fatal(errors.New("store: " + q.Verdict))
	}
	reply, err := s.checks.sum(q.ID).done.Wait(t, "checksum", checksumWait)
	if err != nil {
		return &ChecksumReply{}
	}
	return &reply
}

// ComputeChecksum implements replica.Host. What a snapshot brings to another replica is
// what the checksum covers.
func (s *Store) ComputeChecksum(r *replica.Replica, id replica.CommandID) {
	into := s.checks.sum(id)
	state := r.NewSnapshot(r.Self())
	s.cfg.Env.Probe(probeChecksum)
	s.cfg.Env.Go("store: checksum", func(t env.Task) {
		defer state.Close()
		out := ChecksumReply{Known: true, Index: state.Index}
		h := xxhash.New()
		for last := false; !last; {
			data, end, err := state.Next(checksumChunk)
			if err != nil {
				s.cfg.Env.Fatal(err)
			}
			_, _ = h.Write(data)
			s.cfg.Env.Charge(env.ClassByte, int64(len(data)))
			out.Bytes += int64(len(data))
			if last = end; !last && t.Sleep(time.Duration(int64(len(data))*int64(time.Second)/s.checks.rate)) != nil {
				return
			}
		}
		out.Sum = h.Sum64()
		into.done.Resolve(out, nil)
	})
}
