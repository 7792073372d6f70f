package server

import (
	"fmt"
	"time"

	"simulacrum/db/gossip"
	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/db/kv"
	"simulacrum/db/kvclient"
	"simulacrum/db/liveness"
	"simulacrum/db/placement"
	"simulacrum/db/replica"
	"simulacrum/db/rpc"
	"simulacrum/db/session"
	"simulacrum/db/storage"
	"simulacrum/db/store"
	"simulacrum/sim/env"
)

// Config is what a node needs to know before it can ask anybody.
type Config struct {
	NodeID    kv.NodeID
	MaxOffset time.Duration // how far two clocks of the cluster differ at most
	// Ranges are those that a new cluster begins with, the first of which holds the
	// index of all. A node whose disk is empty writes its part of them.
	Ranges []*kv.RangeDescriptor
	// Cluster tells this cluster from others that it could reach by mistake.
	Cluster gossip.ClusterID
	// Join are the endpoints of some nodes, the own one among them or not. One that is up
	// is enough to learn of all others.
	Join     []string
	Locality placement.Locality
	Observer replica.Observer // may be nil
	// Decommissioned is called when the node has found that it does not belong to the
	// cluster any more, and has stopped. It may be nil.
	Decommissioned func()
}

// Server is one incarnation of a node.
type Server struct {
	env      env.Env
	cfg      Config
	clock    *hlc.Clock
	engine   *storage.Engine
	rpc      *rpc.Node
	store    *store.Store
	router   *kvclient.Router
	db       *kv.DB // for what the node does by itself
	sessions *session.Gateway
	first    *kv.RangeDescriptor // the range that holds the index, as gossip says
	gossip   *gossip.Gossip
	liveness *liveness.Liveness
	peers    peers
	stores   stores
	stopping bool
	ended    *env.Promise[struct{}] // resolved when Stop has returned; nil: nobody has called it
}

// bootstrapKey marks a disk whose part of the first ranges is written.
var bootstrapKey = keys.StoreKey("bootstrapped")

// Start boots the node on its disk and returns when it serves. An error says that
// the disk cannot be used.
func Start(t env.Task, e env.Env, cfg Config) (*Server, error) {
	s := &Server{env: e, cfg: cfg, first: cfg.Ranges[0], clock: hlc.NewClock(e, cfg.MaxOffset)}
	var err error
	if s.engine, err = storage.Open(t, e, "data", storage.Options{}); err != nil {
		return nil, err
	}
	if err := s.bootstrap(t); err != nil {
		return nil, err
	}
	// An earlier incarnation may have given out timestamps up to this far ahead.
	if err := s.clock.RestartWait(t, hlc.Timestamp{}); err != nil {
		return nil, err
	}
	s.rpc = rpc.New(e, s.clock)
	if err := s.peers.load(s.engine, cfg.NodeID, e.Name()); err != nil {
		return nil, err
	}
	// The router is younger than the store, because it delivers to the store as well.
	anywhere := kv.SenderFunc(s.sendAnywhere)
	txns := kvclient.NewTxns(e, s.clock, anywhere, cfg.NodeID)
	s.db = kv.NewDB(anywhere, 1).WithTxns(txns)
	s.store, err = store.Open(t, store.Config{
		Env: e, Engine: s.engine, Clock: s.clock, NodeID: cfg.NodeID, StoreID: kv.StoreID(cfg.NodeID),
		Transport: (*transport)(s), Cluster: (*clusterView)(s), Observer: cfg.Observer, Sender: anywhere,
		DB: s.db, Replicas: voters(cfg.Ranges),
	})
	if err != nil {
		return nil, err
	}
	local := kv.SenderFunc(s.send)
	s.router = kvclient.NewRouter(e, kvclient.NewTransport(e, s.rpc, cfg.NodeID, local, s.peers.address), kvclient.Config{
		Self: cfg.NodeID, FirstRange: s.firstRange,
	})
	kvclient.ServeStore(e, s.rpc, local)
	kvclient.ServeGateway(e, s.rpc, kv.SenderFunc(s.sendViaGateway))
	s.sessions = session.Serve(e, s.rpc, txns, cfg.NodeID, s.store.Incarnation())
	s.serveTransport()
	s.startGossip()
	s.startLiveness()
	s.rpc.Listen()
	e.Go("server: clock check", s.watchClock)
	return s, nil
}

// voters is how many voters each range is to have: as many as the first one began with.
func voters(ranges []*kv.RangeDescriptor) (n int) {
	for _, r := range ranges[0].Replicas {
		if r.Type == kv.VoterFull {
			n++
		}
	}
	return n
}

// bootstrap writes the node's part of the first ranges, once in the life of its
// disk. The mark is in the same batch: half a bootstrap is none.
func (s *Server) bootstrap(t env.Task) error {
	_, done, err := s.engine.Get(bootstrapKey)
	if err != nil || done {
		return err
	}
	b := s.engine.NewBatch()
	store.Bootstrap(b, kv.StoreID(s.cfg.NodeID), s.cfg.Ranges)
	b.Put(bootstrapKey, []byte{1})
	var synced env.Promise[struct{}]
	s.engine.Commit(b, true, func() { synced.Resolve(struct{}{}, nil) })
	_, err = synced.Wait(t, "server: bootstrap", -1)
	return err
}

// firstRange is the newest descriptor that is known here of the range that holds the index.
// One's own replica of it may be left over from before it went elsewhere.
func (s *Server) firstRange() *kv.RangeDescriptor {
	if r := s.store.Replica(s.first.RangeID); r != nil && r.Desc().Generation >= s.first.Generation {
		return r.Desc()
	}
	return s.first
}

func (s *Server) send(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	return s.store.Send(t, ba)
}

// sendAnywhere is for the store's own batches, and for transactions.
func (s *Server) sendAnywhere(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	return s.router.Send(t, ba)
}

func (s *Server) sendViaGateway(t env.Task, ba *kv.BatchRequest) *kv.BatchResponse {
	if s.stopping {
		return kv.ErrorResponse(kv.Errorf(kv.NodeUnavailable, "n%d is stopping", s.cfg.NodeID))
	}
	via := *ba
	via.Gateway = s.cfg.NodeID
	return s.router.Send(t, &via)
}

// clockCheckEvery is how often a node compares its clock with those of its peers.
const clockCheckEvery = time.Second

// watchClock ends the node when its clock has strayed from those of most others.
func (s *Server) watchClock(t env.Task) {
	for s.connect(); t.Sleep(clockCheckEvery) == nil; s.connect() {
		if err := s.rpc.CheckOffsets(); err != nil {
			s.env.Probe(probeClockStrayed)
			s.env.Fatal(err)
		}
	}
}

// Store is the node's store.
func (s *Server) Store() *store.Store { return s.store }

// Engine is the node's storage engine.
func (s *Server) Engine() *storage.Engine { return s.engine }

// Clock is the node's hybrid clock.
func (s *Server) Clock() *hlc.Clock { return s.clock }

// Sessions are the conversations with clients.
func (s *Server) Sessions() *session.Gateway { return s.sessions }

// RPC is the node's end of all calls.
func (s *Server) RPC() *rpc.Node { return s.rpc }

// String describes the node for people.
func (s *Server) String() string {
	return fmt.Sprintf("n%d at %s\n%s\n%s", s.cfg.NodeID, s.clock.Last(), s.engine, s.store)
}
