package gossip

import (
	"fmt"

	"simulacrum/db/codec"
	"simulacrum/db/kv"
	"simulacrum/db/placement"
)

// NodeDescriptor is what a node says of itself. It is immutable.
type NodeDescriptor struct {
	NodeID      kv.NodeID
	Address     string // of its endpoint
	Incarnation int64  // grows with each start of the node
	Locality    placement.Locality
	Attributes  []string
	Draining    bool // it hands its leases over, and wants no new ones
}

// StoreDescriptor is what a store says of itself. It is immutable.
type StoreDescriptor struct {
	StoreID    kv.StoreID
	NodeID     kv.NodeID
	Attributes []string
	Capacity   StoreCapacity
}

// StoreCapacity is how much a store can hold, how much it holds, and what it does. What
// changes from second to second is an average over the store's own choice of time.
type StoreCapacity struct {
	Capacity, Available, Used int64 // bytes: of the disk, free, taken by the store
	LogicalBytes              int64 // of live data, before compression
	Ranges, Leases            int64
	Load                      placement.Load
	WriteBytes                int64 // a second
	ReadAmplification         int64 // files that a lookup looks into
}

func (c *StoreCapacity) fields() []*int64 {
	return []*int64{&c.Capacity, &c.Available, &c.Used, &c.LogicalBytes, &c.Ranges, &c.Leases, &c.Load.Requests,
		&c.Load.CPU, &c.Load.Writes, &c.WriteBytes, &c.ReadAmplification}
}

// String prints the descriptor for reading.
func (d *NodeDescriptor) String() string {
	s := fmt.Sprintf("n%d at %s, incarnation %d", d.NodeID, d.Address, d.Incarnation)
	if len(d.Locality) > 0 {
		s += ", " + d.Locality.String()
	}
	if len(d.Attributes) > 0 {
		s += fmt.Sprintf(", %v", d.Attributes)
	}
	if d.Draining {
		s += ", draining"
	}
	return s
}

// String prints the descriptor for reading.
func (d *StoreDescriptor) String() string {
	c := &d.Capacity
	return fmt.Sprintf("s%d on n%d %v: %d of %d bytes used, %d ranges, %d leases, %d requests/s, %d writes/s, %d ns/s",
		d.StoreID, d.NodeID, d.Attributes, c.Used, c.Capacity, c.Ranges, c.Leases, c.Load.Requests, c.Load.Writes, c.Load.CPU)
}

// Encode appends the descriptor.
func (d *NodeDescriptor) Encode(b []byte) []byte {
	b = codec.AppendString(codec.AppendVarint(b, int64(d.NodeID)), d.Address)
	b = codec.AppendUvarint(codec.AppendVarint(b, d.Incarnation), uint64(len(d.Locality)))
	for _, t := range d.Locality {
		b = codec.AppendString(codec.AppendString(b, t.Name), t.Value)
	}
	return codec.AppendBool(appendStrings(b, d.Attributes), d.Draining)
}

// DecodeNodeDescriptor reads what Encode wrote.
func DecodeNodeDescriptor(b []byte) (*NodeDescriptor, error) {
	r := codec.MakeReader(b)
	d := &NodeDescriptor{NodeID: kv.NodeID(r.Int32()), Address: r.String(), Incarnation: r.Varint()}
	if n := r.Count(placement.MaxTiers, 2); n > 0 {
		d.Locality = make(placement.Locality, n)
		for i := range d.Locality {
			d.Locality[i] = placement.Tier{Name: r.String(), Value: r.String()}
		}
	}
	d.Attributes, d.Draining = decodeStrings(&r), r.Bool()
	return d, r.Done()
}

// maxAttributes bounds what is decoded.
const maxAttributes = 64

// Encode appends the descriptor.
func (d *StoreDescriptor) Encode(b []byte) []byte {
	b = codec.AppendVarint(codec.AppendVarint(b, int64(d.StoreID)), int64(d.NodeID))
	b = appendStrings(b, d.Attributes)
	for _, f := range d.Capacity.fields() {
		b = codec.AppendVarint(b, *f)
	}
	return b
}

// DecodeStoreDescriptor reads what Encode wrote.
func DecodeStoreDescriptor(b []byte) (*StoreDescriptor, error) {
	r := codec.MakeReader(b)
	d := &StoreDescriptor{StoreID: kv.StoreID(r.Int32()), NodeID: kv.NodeID(r.Int32()), Attributes: decodeStrings(&r)}
	for _, f := range d.Capacity.fields() {
		*f = r.Varint()
	}
	return d, r.Done()
}

func appendStrings(b []byte, list []string) []byte {
	b = codec.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = codec.AppendString(b, s)
	}
	return b
}

func decodeStrings(r *codec.Reader) []string {
	n := r.Count(maxAttributes, 1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = r.String()
	}
	return list
}
