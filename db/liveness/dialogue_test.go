package liveness

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/db/kv"
	"simulacrum/sim/env"
)

// TestDialogues runs what is written in testdata/dialogues: each file states its claim,
// and then shows the requests that nodes send to the database, what they are answered,
// and what nodes think of each other. A record's expiration is in seconds since the run
// began. Nodes tell each other of their own records at once, unless they are deaf.
//
//	new nodes=n [knob=duration ...]
//	start n1 ...                    starts nodes, without heartbeats; also after a kill
//	heartbeat n1                    one heartbeat
//	increment n1 of=n2              ends the epoch of the record that n1 knows
//	drain n1 [off] | membership n1 of=n2 to=decommissioning
//	mishap n1 kind ...              what befalls the next requests of n1
//	deaf n1 | hears n1              whether gossip reaches it
//	read n1 of=n2 | kill n1 | run d
//	status                          what each node thinks of all, and what it holds
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/dialogues", func(t *testing.T, path string) {
		d := &dialogue{}
		datadriven.RunTest(t, path, d.command)
	})
}

type dialogue struct {
	*toy
	out     strings.Builder
	mishaps map[kv.NodeID][]string
	deaf    map[kv.NodeID]bool
}

func (d *dialogue) node(td *datadriven.TestData) *toyNode {
	return d.nodes[number(td.CmdArgs[0].Key)-1]
}

func number(name string) (i int) {
	fmt.Sscanf(name, "n%d", &i)
	return i
}

func (d *dialogue) command(t *testing.T, td *datadriven.TestData) string {
	var err error
	arg := func(name string) string {
		var s string
		td.ScanArgs(t, name, &s)
		return s
	}
	switch td.Cmd {
	case "new":
		d.begin(t, td)
	case "start":
		for _, a := range td.CmdArgs {
			d.nodes[number(a.Key)-1].start()
		}
	case "kill":
		d.node(td).m.Kill("test")
	case "heartbeat":
		n := d.node(td)
		err = n.do(n.l.Heartbeat)
	case "increment":
		n := d.node(td)
		err = n.do(func(task env.Task) error {
			got, err := n.l.IncrementEpoch(task, n.l.Record(kv.NodeID(number(arg("of")))))
			if err == nil {
				fmt.Fprintf(&d.out, "the epoch is over: %s\n", show(got.Record))
			}
			return err
		})
	case "read":
		n := d.node(td)
		err = n.do(func(task env.Task) error {
			_, err := n.l.Read(task, kv.NodeID(number(arg("of"))))
			return err
		})
	case "drain":
		n := d.node(td)
		err = n.do(func(task env.Task) error { return n.l.SetDraining(task, len(td.CmdArgs) == 1) })
	case "membership":
		n := d.node(td)
		err = n.do(func(task env.Task) error {
			for m := range numMemberships {
				if m.String() == arg("to") {
					_, err := n.l.SetMembership(task, kv.NodeID(number(arg("of"))), m)
					return err
				}
			}
			return fmt.Errorf("no membership %s", arg("to"))
		})
	case "mishap":
		for _, a := range td.CmdArgs[1:] {
			n := d.node(td).id
			d.mishaps[n] = append(d.mishaps[n], a.Key)
		}
	case "deaf", "hears":
		d.deaf[d.node(td).id] = td.Cmd == "deaf"
	case "run":
		dur, perr := time.ParseDuration(td.CmdArgs[0].Key)
		if perr != nil {
			t.Fatal(perr)
		}
		d.toy.run(dur)
	case "status":
		d.status()
	default:
		t.Fatalf("unknown command %s", td.Cmd)
	}
	if err != nil {
		fmt.Fprintf(&d.out, "error: %v\n", err)
	}
	out := d.out.String()
	d.out.Reset()
	if out == "" {
		return "ok\n"
	}
	return out
}

func (d *dialogue) begin(t *testing.T, td *datadriven.TestData) {
	nodes, knobs := 0, map[string]int64{}
	for _, a := range td.CmdArgs {
		if a.Key == "nodes" {
			td.ScanArgs(t, "nodes", &nodes)
			continue
		}
		v, err := time.ParseDuration(a.Vals[0])
		if err != nil {
			t.Fatal(err)
		}
		knobs[a.Key] = int64(v)
	}
	d.toy, d.mishaps, d.deaf = newToy(t, 1, nodes, knobs), map[kv.NodeID][]string{}, map[kv.NodeID]bool{}
	d.told = func(n *toyNode) bool { return !d.deaf[n.id] }
	d.log = func(format string, args ...any) { fmt.Fprintf(&d.out, format, args...) }
	d.toy.mishap = func(n *toyNode, _ *kv.BatchRequest) string {
		list := d.mishaps[n.id]
		if len(list) == 0 {
			return ""
		}
		d.mishaps[n.id] = list[1:]
		return strings.TrimPrefix(list[0], "none")
	}
}

func (d *dialogue) status() {
	for _, n := range d.nodes {
		if n.p == nil || !n.p.Alive() {
			fmt.Fprintf(&d.out, "n%d: down\n", n.id)
			continue
		}
		now := n.l.now()
		fmt.Fprintf(&d.out, "n%d:", n.id)
		for _, m := range d.nodes {
			fmt.Fprintf(&d.out, " n%d %s", m.id, n.status(m.id))
			if m.id != n.id {
				d.out.WriteString(",")
				continue
			}
			epoch, _ := n.l.Self()
			switch {
			case epoch == 0:
				d.out.WriteString(" (holds no epoch),")
			case n.l.HoldsEpoch(epoch, now):
				fmt.Fprintf(&d.out, " (holds epoch %d),", epoch)
			default:
				fmt.Fprintf(&d.out, " (epoch %d in stasis),", epoch)
			}
		}
		s := strings.TrimSuffix(d.out.String(), ",")
		d.out.Reset()
		d.out.WriteString(s + "\n")
	}
}
