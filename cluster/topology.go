package cluster

import (
	"fmt"
	"slices"
	"strings"

	"simulacrum/nemesis"
)

// Uniform is a topology of regions × zones × nodes, with the given number of
// clients in each region, dealt to its zones in turn. Zones are named a, b, c ...
// within their region.
func Uniform(regions []string, zones, nodes, clients int) nemesis.Topology {
	var t nemesis.Topology
	for _, region := range regions {
		for z := 0; z < zones*nodes; z++ {
			t.Nodes = append(t.Nodes, nemesis.Place{Name: fmt.Sprintf("n%d", len(t.Nodes)+1), Region: region, Zone: zoneName(z / nodes)})
		}
		for i := 0; i < clients; i++ {
			t.Clients = append(t.Clients, nemesis.Place{Name: fmt.Sprintf("c%d", len(t.Clients)+1), Region: region, Zone: zoneName(i % zones)})
		}
	}
	return t
}

func zoneName(i int) string { return string(rune('a' + i)) }

// zoneOf names a zone within the whole topology.
func zoneOf(p nemesis.Place) string { return p.Region + "-" + p.Zone }

// nearest orders nodes by how near they are to p: same zone, same region, the
// others; within each class in their order, rotated by turn so that clients of one
// zone do not all choose the same node.
func nearest(nodes []nemesis.Place, p nemesis.Place, turn int) []string {
	var classes [3][]string
	for _, n := range nodes {
		switch {
		case zoneOf(n) == zoneOf(p):
			classes[0] = append(classes[0], n.Name)
		case n.Region == p.Region:
			classes[1] = append(classes[1], n.Name)
		default:
			classes[2] = append(classes[2], n.Name)
		}
	}
	var out []string
	for _, c := range classes {
		for i := range c {
			out = append(out, c[(i+turn)%len(c)])
		}
	}
	return out
}

// Describe lists a topology for people, a line a zone; spares have a plus.
func Describe(t nemesis.Topology) string {
	var zones []string
	line := map[string]string{}
	spares := slices.Clone(t.Spares)
	for i := range spares {
		spares[i].Name = "+" + spares[i].Name
	}
	for _, list := range [][]nemesis.Place{t.Nodes, spares, t.Clients} {
		for _, p := range list {
			if line[zoneOf(p)] == "" {
				zones = append(zones, zoneOf(p))
				line[zoneOf(p)] = zoneOf(p) + ":"
			}
			line[zoneOf(p)] += " " + p.Name
		}
	}
	var b strings.Builder
	for _, z := range zones {
		b.WriteString(line[z] + "\n")
	}
	return b.String()
}
