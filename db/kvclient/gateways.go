package kvclient

import "simulacrum/sim/env"

// Gateways is a client's choice among the nodes that it may enter the cluster by. All
// that the client sends shares it, so that a node which did not answer is avoided by
// all.
type Gateways struct {
	p       env.Process
	names   []string
	current int
}

// NewGateways returns a choice that begins with the first of the endpoints.
func NewGateways(p env.Process, names []string) *Gateways {
	return &Gateways{p: p, names: append([]string(nil), names...)}
}

// Len is how many there are to choose from.
func (g *Gateways) Len() int { return len(g.names) }

// Current is the endpoint that is sent to next.
func (g *Gateways) Current() string { return g.names[g.current] }

// Leave moves on from a gateway, unless somebody else has done so.
func (g *Gateways) Leave(name string) {
	if g.Current() == name && len(g.names) > 1 {
		g.p.Probe(ProbeGatewayLost)
		g.current = (g.current + 1) % len(g.names)
	}
}

// Set replaces the endpoints, of which there is at least one, as a directory of services
// tells of nodes that have come or gone. The current one stays the choice if it is still
// among them.
func (g *Gateways) Set(names []string) {
	current := g.Current()
	g.names, g.current = append([]string(nil), names...), 0
	for i, n := range names {
		if n == current {
			g.current = i
		}
	}
}
