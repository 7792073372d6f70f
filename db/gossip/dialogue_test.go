package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"simulacrum/sim/env"
	"simulacrum/sim/network"
)

// TestDialogues runs what is written in testdata/dialogues: each file states its claim, and then
// shows which infos go from whom to whom, in the order in which exchanges arrive.
// Exchanges without news are left out. Times are too: convergence has tests of its own.
//
//	new nodes=n [knob=value ...]    a cluster, not started; durations or numbers
//	start n1 ... | kill n1 ...
//	publish n1 key=value [ttl=d]    as n1's own
//	cut n1 n2 | heal                nothing goes from or to these; all is well again
//	run d                           time passes; prints the exchanges
//	show                            what each node knows, with the hands it came through
func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata/dialogues", func(t *testing.T, path string) {
		d := &dialogue{}
		datadriven.RunTest(t, path, d.run)
	})
}

type dialogue struct {
	*world
	out  strings.Builder
	cuts []network.Effect
}

func (d *dialogue) run(t *testing.T, td *datadriven.TestData) string {
	switch td.Cmd {
	case "new":
		nodes, knobs := 0, map[string]int64{}
		for _, a := range td.CmdArgs {
			if a.Key == "nodes" {
				td.ScanArgs(t, "nodes", &nodes)
			} else if v, err := time.ParseDuration(a.Vals[0]); err == nil {
				knobs[a.Key] = int64(v)
			} else {
				var n int64
				td.ScanArgs(t, a.Key, &n)
				knobs[a.Key] = n
			}
		}
		d.world = newWorld(t, 1, nodes, knobs)
		d.near = true
	case "start":
		for _, a := range td.CmdArgs {
			d.begin(d.index(a.Key))
		}
	case "kill":
		for _, a := range td.CmdArgs {
			d.members[d.index(a.Key)].m.Kill("test")
		}
	case "publish":
		m := d.members[d.index(td.CmdArgs[0].Key)]
		var ttl time.Duration
		for _, a := range td.CmdArgs[2:] {
			ttl, _ = time.ParseDuration(a.Vals[0])
		}
		if err := m.g.Publish(td.CmdArgs[1].Key, []byte(td.CmdArgs[1].Vals[0]), ttl); err != nil {
			return err.Error() + "\n"
		}
	case "cut":
		var in, out []string
		for _, a := range td.CmdArgs {
			in = append(in, a.Key)
		}
		for _, m := range d.members {
			if !slices.Contains(in, m.name) {
				out = append(out, m.name)
			}
		}
		d.cuts = append(d.cuts, d.net.Cut(in, out, network.Drop), d.net.Cut(out, in, network.Drop))
	case "heal":
		for _, c := range d.cuts {
			c.Heal()
		}
		d.cuts = nil
	case "run":
		dur, err := time.ParseDuration(td.CmdArgs[0].Key)
		if err != nil {
			t.Fatal(err)
		}
		d.world.run(dur)
	case "show":
		d.show()
	default:
		t.Fatalf("unknown command %s", td.Cmd)
	}
	out := d.out.String()
	d.out.Reset()
	if out == "" {
		return "ok\n"
	}
	return out
}

func (d *dialogue) index(name string) int {
	var i int
	fmt.Sscanf(name, "n%d", &i)
	return i - 1
}

// begin starts a member whose answers are noted.
func (d *dialogue) begin(i int) {
	d.start(i)
	m := d.members[i]
	m.rpc.Handle(Kind, func(t env.Task, from string, q env.Message) env.Message {
		a := m.g.serve(t, from, q)
		p := a.(*response)
		if told, answered := describe(q.(*request).Infos), describe(p.Infos); told+answered != "" || p.Verdict != accepted {
			fmt.Fprintf(&d.out, "%s > %s:%s\n    answer:%s%s\n", from, m.name, told, answered, []string{"", " (full)", " (another cluster)"}[p.Verdict])
		}
		return a
	})
}

func describe(list []Info) string {
	s := ""
	for _, x := range list {
		s += " " + x.Key
		if !strings.HasPrefix(x.Key, NodePrefix) {
			s += "=" + string(x.Value)
		}
	}
	return s
}

func (d *dialogue) show() {
	for _, m := range d.members {
		if !m.up() {
			fmt.Fprintf(&d.out, "%s: down\n", m.name)
			continue
		}
		fmt.Fprintf(&d.out, "%s:", m.name)
		m.g.Visit("", func(x Info) bool {
			v := string(x.Value)
			if n, ok := m.g.decodeDescriptor(x); ok {
				v = fmt.Sprintf("incarnation %d", n.Incarnation)
			}
			fmt.Fprintf(&d.out, " %s=%s", x.Key, v)
			if x.Hops > 0 {
				fmt.Fprintf(&d.out, "(%d)", x.Hops)
			}
			return true
		})
		d.out.WriteByte('\n')
	}
}

// decodeDescriptor reads an info that is a node's descriptor.
func (g *Gossip) decodeDescriptor(x Info) (*NodeDescriptor, bool) {
	if !x.hasPrefix(NodePrefix) {
		return nil, false
	}
	return g.decodeNode(x)
}
