package rpc

import (
	"fmt"
	"time"

	"simulacrum/db/codec"
	"simulacrum/db/hlc"
	"simulacrum/sim/env"
)

// Class is a kind of connection. Messages of different classes do not hold each
// other up.
type Class uint8

// The classes.
const (
	System  Class = iota // pings, and small things that must get through
	Default              // requests of clients and between gateways and stores
	Raft                 // consensus
	NumClasses
)

var classNames = [NumClasses]string{"system", "default", "raft"}

// String is the class's name.
func (c Class) String() string { return classNames[c] }

// Kind is a kind of call or one-way message. Kinds are immutable package variables
// of whoever defines the messages. Decoders must not keep the reader's bytes.
type Kind struct {
	ID       uint8  // unique in the cluster, and above 0
	Name     string // labels tasks and traces
	Class    Class
	Request  func(*codec.Reader) env.Message // decodes the request or one-way message
	Response func(*codec.Reader) env.Message // decodes the answer; nil for one-way messages
}

type frameType uint8

const (
	frameRequest frameType = iota + 1
	frameResponse
	frameReject
	frameOneway
	framePing
	framePong
)

// frame is what travels. Which fields are used depends on the type.
type frame struct {
	typ     frameType
	kind    uint8         // request, response, one-way
	code    rejection     // reject
	id      uint64        // of the call, or of the ping
	clock   hlc.Timestamp // the sender's, in every frame
	timeout time.Duration // request: time left, 0: without limit
	wall    int64         // pong: the sender's wall clock
	payload env.Message   // request, response, one-way
	size    int           // of payload, if known: to find it out means to walk through all of it
}

// payloadSize is the length of the encoded payload.
func (f *frame) payloadSize() int {
	if f.size == 0 {
		f.size = f.payload.Size()
	}
	return f.size
}

// Size implements env.Message.
func (f *frame) Size() int {
	n := codec.SizeByte + f.clock.Size()
	switch f.typ {
	case frameRequest:
		n += codec.SizeByte + codec.SizeUvarint(f.id) + codec.SizeVarint(int64(f.timeout)) + f.payloadSize()
	case frameResponse:
		n += codec.SizeByte + codec.SizeUvarint(f.id) + f.payloadSize()
	case frameReject:
		n += codec.SizeByte + codec.SizeUvarint(f.id)
	case frameOneway:
		n += codec.SizeByte + f.payloadSize()
	case framePing:
		n += codec.SizeUvarint(f.id)
	case framePong:
		n += codec.SizeUvarint(f.id) + codec.SizeVarint(f.wall)
	}
	return n
}

// Encode implements env.Message.
func (f *frame) Encode(b []byte) []byte {
	b = f.clock.Encode(append(b, byte(f.typ)))
	switch f.typ {
	case frameRequest:
		b = codec.AppendUvarint(append(b, f.kind), f.id)
		b = f.payload.Encode(codec.AppendVarint(b, int64(f.timeout)))
	case frameResponse:
		b = f.payload.Encode(codec.AppendUvarint(append(b, f.kind), f.id))
	case frameReject:
		b = codec.AppendUvarint(append(b, byte(f.code)), f.id)
	case frameOneway:
		b = f.payload.Encode(append(b, f.kind))
	case framePing:
		b = codec.AppendUvarint(b, f.id)
	case framePong:
		b = codec.AppendVarint(codec.AppendUvarint(b, f.id), f.wall)
	}
	return b
}

// decode reads what Encode wrote. A request or one-way message of a kind that this
// node does not know has no payload: the receiver must be able to refuse it.
func (n *Node) decode(b []byte) (env.Message, error) {
	r := codec.NewReader(b)
	f := &frame{typ: frameType(r.Byte()), clock: hlc.Decode(r)}
	switch f.typ {
	case frameRequest:
		f.kind, f.id, f.timeout = r.Byte(), r.Uvarint(), time.Duration(r.Varint())
		if f.timeout < 0 {
			r.Fail(ErrProtocol)
		}
		n.decodeRequest(f, r)
	case frameOneway:
		f.kind = r.Byte()
		n.decodeRequest(f, r)
	case frameResponse:
		f.kind, f.id = r.Byte(), r.Uvarint()
		if k := n.kinds[f.kind]; k == nil || k.Response == nil {
			r.Fail(ErrProtocol)
		} else {
			f.payload = k.Response(r)
		}
	case frameReject:
		f.code, f.id = rejection(r.Byte()), r.Uvarint()
		if f.code == 0 || f.code >= numRejections {
			r.Fail(ErrProtocol)
		}
	case framePing:
		f.id = r.Uvarint()
	case framePong:
		f.id, f.wall = r.Uvarint(), r.Varint()
	default:
		r.Fail(ErrProtocol)
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return f, nil
}

func (n *Node) decodeRequest(f *frame, r *codec.Reader) {
	if k := n.kinds[f.kind]; k != nil && r.Err() == nil {
		f.payload = k.Request(r)
	} else {
		r.Rest()
	}
}

// String prints the frame for traces: what it is for, and its payload as that
// prints itself.
func (f *frame) String() string {
	switch f.typ {
	case frameRequest:
		return fmt.Sprintf("request %d: %s", f.id, payload(f.payload))
	case frameResponse:
		return fmt.Sprintf("answer to %d: %s", f.id, payload(f.payload))
	case frameReject:
		return fmt.Sprintf("no answer to %d: %v", f.id, f.code.err("").Cause)
	case framePing:
		return fmt.Sprintf("ping %d", f.id)
	case framePong:
		return fmt.Sprintf("pong %d", f.id)
	}
	return payload(f.payload)
}

func payload(m env.Message) string {
	if s, ok := m.(fmt.Stringer); ok {
		return s.String()
	}
	return fmt.Sprintf("%T", m)
}
