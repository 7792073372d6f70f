package store

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/raftpb"

	"simulacrum/db/hlc"
	"simulacrum/db/kv"
	"simulacrum/db/replica"
	"simulacrum/sim"
	"simulacrum/sim/env"
)

// dialogue runs the commands of a file in testdata. Each file opens with what it
// claims; what is printed is what the claim is about, without times and indexes.
//
//	new [knob=value ...]               three nodes, n1 leads
//	put|get|inc at=N KEY [VALUE] [as=NAME] [deadline=D]   with as: do not wait
//	result NAME                        of such a request, or "waits"
//	client put|get|inc KEY [VALUE]     ask around until somebody serves
//	transfer at=N to=M [as=NAME] [deadline=D]
//	run D                              let time pass
//	view                               what each node thinks
//	log                                entries that each node keeps
//	cut FROM TO / isolate N / heal     the network
//	lose KIND [from=N] [to=N]          messages of a raft type, until heal
//	kill N [power] / restart N
//	clock N D                          set a wall clock off by D
//	events                             what observers were told since last asked
type dialogue struct {
	t      *testing.T
	c      *cluster
	open   map[string]*env.Promise[*kv.BatchResponse]
	events []string
}

func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if filepath.Dir(path) != "testdata" {
			return // each folder has a test of its own, with a language of its own
		}
		d := &dialogue{t: t, open: map[string]*env.Promise[*kv.BatchResponse]{}}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			var out strings.Builder
			if td.Cmd == "new" {
				d.boot(td)
				return ""
			}
			for _, line := range strings.Split(strings.TrimSpace(td.Input), "\n") {
				if line = strings.TrimSpace(line); line != "" {
					if s := d.do(strings.Fields(line)); s != "" {
						fmt.Fprintf(&out, "%s\n", strings.TrimRight(s, "\n"))
					}
				}
			}
			return out.String()
		})
	})
}

// boot tries seeds until n1 is elected.
func (d *dialogue) boot(td *datadriven.TestData) {
	knobs := map[string]int64{}
	for _, a := range td.CmdArgs {
		v, err := strconv.ParseInt(a.Vals[0], 10, 64)
		if err != nil {
			dur, err := time.ParseDuration(a.Vals[0])
			if err != nil {
				d.t.Fatal(err)
			}
			v = int64(dur)
		}
		knobs[a.Key] = v
	}
	for seed := uint64(1); ; seed++ {
		d.c = newCluster(d.t, 3, sim.Config{Seed: seed, Knobs: knobs})
		d.c.until(20*time.Second, func() bool { return d.c.leader() != nil })
		if d.c.leader().id == 1 {
			break
		}
	}
	d.c.run(100 * time.Millisecond)
	d.c.tell = func(format string, args ...any) { d.events = append(d.events, fmt.Sprintf(format, args...)) }
}

type args struct {
	pos   []string
	named map[string]string
}

func parseArgs(words []string) args {
	a := args{named: map[string]string{}}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			a.named[k] = v
		} else {
			a.pos = append(a.pos, w)
		}
	}
	return a
}

func (d *dialogue) id(s string) kv.NodeID {
	n, err := strconv.Atoi(s)
	if err != nil {
		d.t.Fatal(err)
	}
	return kv.NodeID(n)
}

func (d *dialogue) duration(s string) time.Duration {
	if s == "" {
		return 0
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		d.t.Fatal(err)
	}
	return v
}

func (d *dialogue) do(words []string) string {
	a := parseArgs(words[1:])
	switch words[0] {
	case "put", "get", "inc", "transfer":
		return d.request(words[0], a)
	case "client":
		return result(d.c.do(d.kvRequest(a.pos[0], parseArgs(words[2:]))))
	case "result":
		p := d.open[a.pos[0]]
		if !p.Ready() {
			return a.pos[0] + " waits"
		}
		br, _ := p.Value()
		return a.pos[0] + ": " + result(br)
	case "run":
		d.c.run(d.duration(a.pos[0]))
	case "view":
		return d.view()
	case "log":
		return d.log()
	case "cut":
		d.c.cut[[2]kv.NodeID{d.id(a.pos[0]), d.id(a.pos[1])}] = true
	case "isolate":
		for _, n := range d.c.nodes {
			d.c.cut[[2]kv.NodeID{d.id(a.pos[0]), n.id}], d.c.cut[[2]kv.NodeID{n.id, d.id(a.pos[0])}] = true, true
		}
	case "heal":
		clear(d.c.cut)
		d.c.hold = nil
	case "lose":
		d.c.hold = func(from, to kv.NodeID, m *replica.Message) bool {
			return m.Raft.Type == raftpb.MessageType(raftpb.MessageType_value[a.pos[0]]) &&
				(a.named["from"] == "" || d.id(a.named["from"]) == from) && (a.named["to"] == "" || d.id(a.named["to"]) == to)
		}
	case "kill":
		d.c.node(d.id(a.pos[0])).kill(len(a.pos) > 1)
	case "restart":
		n := d.c.node(d.id(a.pos[0]))
		n.start(false)
		n.await()
	case "clock":
		d.c.node(d.id(a.pos[0])).machine.Clock().SetOffset(d.duration(a.pos[1]))
	case "events":
		s := strings.Join(d.events, "\n")
		d.events = nil
		return s
	default:
		d.t.Fatalf("unknown command %q", words)
	}
	return ""
}

func (d *dialogue) kvRequest(what string, a args) kv.Request {
	switch what {
	case "put":
		return put(a.pos[0], a.pos[1])
	case "inc":
		return inc(a.pos[0])
	}
	return get(a.pos[0])
}

func (d *dialogue) request(what string, a args) string {
	var q kv.Request
	if what == "transfer" {
		q = &kv.TransferLeaseRequest{Key: key(""), Target: kv.StoreID(d.id(a.named["to"]))}
	} else {
		q = d.kvRequest(what, a)
	}
	p := d.c.node(d.id(a.named["at"])).send(d.duration(a.named["deadline"]), q)
	if name := a.named["as"]; name != "" {
		d.open[name] = p
		return ""
	}
	d.c.until(30*time.Second, p.Ready)
	br, _ := p.Value()
	return result(br)
}

func result(br *kv.BatchResponse) string {
	if e := br.Err; e != nil {
		s := e.Kind.String()
		if e.Lease != nil {
			s += fmt.Sprintf(", try n%d", e.Lease.Replica.NodeID)
		}
		if e.Kind == kv.NodeUnavailable {
			s += ": " + e.Message
		}
		return s
	}
	switch r := br.Responses[0].(type) {
	case *kv.GetResponse:
		if !r.Exists {
			return "nothing"
		}
		return strconv.Quote(string(r.Value))
	case *kv.IncrementResponse:
		return fmt.Sprint(r.Value)
	case *kv.TransferLeaseResponse:
		return fmt.Sprintf("lease #%d of n%d", r.Lease.Sequence, r.Lease.Replica.NodeID)
	}
	return "ok"
}

func (d *dialogue) view() string {
	var b strings.Builder
	for _, n := range d.c.nodes {
		if n.store == nil {
			fmt.Fprintf(&b, "n%d: down\n", n.id)
			continue
		}
		r := n.store.Replica(1)
		fmt.Fprintf(&b, "n%d:", n.id)
		leader, _ := r.Leader()
		switch {
		case r.IsLeader():
			b.WriteString(" leads")
		case leader == 0:
			b.WriteString(" knows no leader")
		default:
			fmt.Fprintf(&b, " follows n%d", leader)
		}
		l := r.State().Lease
		now := n.clock.Last().Forward(hlc.Timestamp{Wall: n.proc.Wall()})
		fmt.Fprintf(&b, ", lease #%d of n%d %s", l.Sequence, l.Replica.NodeID, r.LeaseStatus(now))
		if r.Quiesced() {
			b.WriteString(", quiesced")
		}
		if r.Pending() > 0 {
			fmt.Fprintf(&b, ", %d pending", r.Pending())
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (d *dialogue) log() string {
	var b strings.Builder
	for _, n := range d.c.nodes {
		if n.store == nil {
			fmt.Fprintf(&b, "n%d: down\n", n.id)
			continue
		}
		first, last := n.store.Replica(1).LogBounds()
		fmt.Fprintf(&b, "n%d: %d entries", n.id, last-first)
		if first > replica.InitialIndex {
			b.WriteString(", truncated")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
