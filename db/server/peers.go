package server

import (
	"slices"
	"strconv"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/storage"
	"simulacrum/sim/env"
)

// peers are the nodes that this node has ever heard of, itself among them. Their
// addresses are kept on disk: a node that comes back while those it once joined by are
// down must still find its way to the others.
type peers struct {
	engine *storage.Engine
	ids    []kv.NodeID // ascending
	known  map[kv.NodeID]peer
}

// peer is what a node said of itself last, which may be long ago. Until it has said
// anything to this incarnation, only the address is known.
type peer struct {
	address string                 // empty if another node is there now
	desc    *gossip.NodeDescriptor // may be nil
	at      hlc.Timestamp          // when it was said
}

// addressPrefix begins the keys under which addresses are kept. A node's ID follows.
const addressPrefix = "address/"

// load reads the addresses that earlier incarnations kept.
func (p *peers) load(engine *storage.Engine, self kv.NodeID, address string) error {
	p.engine, p.known = engine, map[kv.NodeID]peer{}
	p.note(self, peer{address: address})
	prefix := keys.StoreKey(addressPrefix)
	it := engine.NewIter(prefix, prefix.PrefixEnd())
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		n, err := strconv.ParseInt(string(it.Key()[len(prefix):]), 10, 32)
		if err == nil && kv.NodeID(n) != self {
			p.note(kv.NodeID(n), peer{address: string(it.Value())})
		}
	}
	return it.Err()
}

// note takes in what is known of a node.
func (p *peers) note(n kv.NodeID, what peer) {
	if _, ok := p.known[n]; !ok {
		i, _ := slices.BinarySearch(p.ids, n)
		p.ids = slices.Insert(p.ids, i, n)
	}
	p.known[n] = what
}

// learn takes in what a node said of itself, and when. A new address is kept. One that two
// nodes give for their own belongs to whoever said so last: a machine that lost its disk has
// become another node, and whoever answers there is not the one that is lost.
func (p *peers) learn(d *gossip.NodeDescriptor, at hlc.Timestamp) {
	it := peer{d.Address, d, at}
	for _, n := range p.ids {
		other := p.known[n]
		switch {
		case n == d.NodeID || other.address != d.Address:
		case other.at.Less(at):
			other.address = ""
			p.known[n] = other
		default:
			it.address = ""
		}
	}
	if it.address != "" && p.address(d.NodeID) != it.address {
		var b storage.Batch
		b.Put(keys.StoreKey(addressPrefix+strconv.Itoa(int(d.NodeID))), []byte(d.Address))
		p.engine.Commit(&b, true, nil)
	}
	p.note(d.NodeID, it)
}

// address is the endpoint of a node, "" if none is known.
func (p *peers) address(n kv.NodeID) string { return p.known[n].address }

// addresses are all endpoints that are known, in the order of the nodes.
func (p *peers) addresses() []string {
	all := make([]string, 0, len(p.ids))
	for _, n := range p.ids {
		if a := p.address(n); a != "" {
			all = append(all, a)
		}
	}
	return all
}

// witnesses is how many other nodes each node keeps up a connection with, if it can,
// though it has nothing to say to them. By them it judges its clock: one whose peers are
// few could take itself for wrong because one of them is. All pairs would be more than a
// large cluster can afford.
const witnesses = 8

// connect keeps the connections to the witnesses up. They are the nodes that follow this
// one in the circle of all nodes, without those that cannot be reached, which are
// dialled all the same.
func (s *Server) connect() {
	p := &s.peers
	self, _ := slices.BinarySearch(p.ids, s.cfg.NodeID)
	reached := 0
	for i := 1; i < len(p.ids) && reached < witnesses; i++ {
		address := p.address(p.ids[(self+i)%len(p.ids)])
		if address == "" {
			continue
		}
		s.rpc.Connect(address)
		if !s.rpc.Failing(address) {
			reached++
		}
	}
}

// startGossip has the node tell others of itself, and learn of them.
func (s *Server) startGossip() {
	s.gossip = gossip.New(gossip.Config{
		Env: s.env, RPC: s.rpc, Clock: s.clock, Cluster: s.cfg.Cluster,
		Self: gossip.NodeDescriptor{NodeID: s.cfg.NodeID, Address: s.env.Name(), Incarnation: s.store.Incarnation(),
			Locality: s.cfg.Locality},
		Bootstrap: append(slices.Clone(s.cfg.Join), s.peers.addresses()...),
	})
	s.gossip.OnChange(gossip.NodePrefix, func(x gossip.Info) {
		d, err := gossip.DecodeNodeDescriptor(x.Value)
		if err != nil {
			s.env.Log("server: %s: %v", x.Key, err)
			return
		}
		s.peers.learn(d, x.Version)
	})
	s.gossip.OnChange(gossip.StorePrefix, func(x gossip.Info) {
		d, err := gossip.DecodeStoreDescriptor(x.Value)
		if err != nil {
			s.env.Log("server: %s: %v", x.Key, err)
			return
		}
		s.stores.learn(d, x.Version)
	})
	s.gossip.OnChange(gossip.SentinelKey, s.learnFirst)
	s.gossip.Start()
	s.env.Go("server: statements", s.publish)
	s.env.Go("server: sentinel", s.publishSentinel)
}

// learnFirst takes in where the first range is, which everybody has to know.
func (s *Server) learnFirst(x gossip.Info) {
	if len(x.Value) == 0 {
		return
	}
	d, err := kv.ParseDescriptor(x.Value)
	if err != nil {
		s.env.Log("server: %s: %v", x.Key, err)
		return
	}
	if d.Generation > s.first.Generation {
		s.first = d
	}
}

// publish tells everyone what the node's store holds. What it said last stays known when
// the node is down: those who replace its replicas ask how large the store was.
func (s *Server) publish(t env.Task) {
	every := env.Duration(s.env, knobPublish)
	for t.Err() == nil && !s.stopping {
		d := &gossip.StoreDescriptor{StoreID: kv.StoreID(s.cfg.NodeID), NodeID: s.cfg.NodeID, Capacity: s.store.Capacity()}
		if err := s.gossip.PublishStore(d, 0); err != nil {
			s.env.Log("server: %v", err)
		}
		t.Sleep(every)
	}
}

// publishSentinel tells everyone that the leaseholder of the first range can be reached,
// while this node is it, and where its replicas are if they are not as they began: no
// index says so.
func (s *Server) publishSentinel(t env.Task) {
	for t.Sleep(s.gossip.SentinelEvery()) == nil {
		if r := s.store.Replica(s.cfg.Ranges[0].RangeID); r != nil && r.HoldsLease() {
			var where []byte
			if r.Desc().Generation > s.cfg.Ranges[0].Generation {
				where = r.Desc().Encode(nil)
			}
			s.gossip.PublishSentinel(where)
		}
	}
}
