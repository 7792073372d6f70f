// Package kv is the vocabulary of the key-value interface: ranges, replicas and
// leases; requests and responses, in batches; errors; and the handle DB over a
// Sender that somebody else provides.
//
//	DB --- BatchRequest ---> Sender: kvclient.Remote    (client, to a gateway node)
//	                                 kvclient.Router    (gateway, to the leaseholder)
//	                                 store              (node, to a replica)
//	   <-- BatchResponse ---
//
// A batch is atomic within one range, and is evaluated in order at one timestamp:
// a request sees what those before it in the batch wrote. If one fails, nothing
// of the batch has happened.
//
// A batch that only reads may state a timestamp, and then reads the versions of
// that time. All others are given a timestamp by the leaseholder. It is returned
// with the response.
//
// Fault model. Every failure is an *Error with a Kind. Each kind but Ambiguous is
// definite: the batch has had no effect and never will. Ambiguous says that it may
// have had its effect, or may still have it. Whoever passes errors on may add
// doubt and never remove it.
//
// Messages come from elsewhere: decoders take any bytes and answer with an error
// at worst. Encodings are canonical, so that decoding and encoding gives the same
// bytes. Messages are immutable once sent.
package kv
