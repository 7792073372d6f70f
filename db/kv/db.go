package kv

import (
	"fmt"

	"simulacrum/db/hlc"
	"simulacrum/db/keys"
	"simulacrum/sim/env"
)

// DB is the handle by which code uses the key-value store, without knowing who
// delivers its batches. The errors it returns are of type *Error.
type DB struct {
	sender Sender
	nextID *uint64
	at     hlc.Timestamp // of reads; zero: the present
	page   int64
	txns   TxnStarter // nil: no transactions
}

// DefaultPage is the number of rows that scans ask for at a time.
const DefaultPage = 1000

// NewDB returns a handle over s. The IDs of its batches count up from firstID.
func NewDB(s Sender, firstID uint64) *DB {
	return &DB{sender: s, nextID: &firstID, page: DefaultPage}
}

// At is a handle like db that reads the versions of the time ts, which makes
// reads of any number of keys and ranges one snapshot. It refuses to write.
func (db *DB) At(ts hlc.Timestamp) *DB {
	at := *db
	at.at = ts
	return &at
}

// Paged is a handle like db whose scans ask for n rows at a time.
func (db *DB) Paged(n int64) *DB {
	paged := *db
	paged.page = max(n, 1)
	return &paged
}

// Value is what a key has, or had.
type Value struct {
	Bytes     []byte
	Exists    bool
	Timestamp hlc.Timestamp // of the version
}

// Get reads one key.
func (db *DB) Get(t env.Task, key keys.Key) (Value, error) {
	br, err := db.Batch(t, Header{}, &GetRequest{Key: key})
	if err != nil {
		return Value{}, err
	}
	get := br.Responses[0].(*GetResponse)
	return Value{Bytes: get.Value, Exists: get.Exists, Timestamp: get.Timestamp}, nil
}

// Put writes one key, and returns the timestamp of the version.
func (db *DB) Put(t env.Task, key keys.Key, value []byte) (hlc.Timestamp, error) {
	return db.write(t, &PutRequest{Key: key, Value: value})
}

// CPut writes one key if it has the expected value.
func (db *DB) CPut(t env.Task, key keys.Key, value, expected []byte) (hlc.Timestamp, error) {
	return db.write(t, &ConditionalPutRequest{Key: key, Value: value, Expected: expected, ExpectedExists: true})
}

// CPutAbsent writes one key if it has no value.
func (db *DB) CPutAbsent(t env.Task, key keys.Key, value []byte) (hlc.Timestamp, error) {
	return db.write(t, &ConditionalPutRequest{Key: key, Value: value})
}

// Inc adds to the number at key, and returns the sum.
func (db *DB) Inc(t env.Task, key keys.Key, by int64) (int64, error) {
	br, err := db.Batch(t, Header{}, &IncrementRequest{Key: key, By: by})
	if err != nil {
		return 0, err
	}
	return br.Responses[0].(*IncrementResponse).Value, nil
}

// Del deletes the value at key, and tells whether there was one.
func (db *DB) Del(t env.Task, key keys.Key) (existed bool, err error) {
	br, err := db.Batch(t, Header{}, &DeleteRequest{Key: key})
	if err != nil {
		return false, err
	}
	return br.Responses[0].(*DeleteResponse).Existed, nil
}

func (db *DB) write(t env.Task, r Request) (hlc.Timestamp, error) {
	br, err := db.Batch(t, Header{}, r)
	if err != nil {
		return hlc.Timestamp{}, err
	}
	return br.Timestamp, nil
}

// Scan reads the keys of [start, end) upwards, at most limit of them (0: all), in
// as many batches as it takes. Each batch reads at a time of its own: for a
// snapshot of the whole, use At.
func (db *DB) Scan(t env.Task, start, end keys.Key, limit int64) ([]KeyValue, error) {
	return db.scan(t, &ScanRequest{Key: start, EndKey: end}, limit)
}

// ReverseScan is Scan downwards from end.
func (db *DB) ReverseScan(t env.Task, start, end keys.Key, limit int64) ([]KeyValue, error) {
	return db.scan(t, &ReverseScanRequest{Key: start, EndKey: end}, limit)
}

func (db *DB) scan(t env.Task, r Request, limit int64) ([]KeyValue, error) {
	return scanPages(r, limit, db.page, func(h Header, r Request) (*BatchResponse, error) { return db.Batch(t, h, r) })
}

// scanPages reads at most limit rows (0: all), in batches of at most page rows.
func scanPages(r Request, limit, page int64, batch func(Header, Request) (*BatchResponse, error)) ([]KeyValue, error) {
	var rows []KeyValue
	for {
		n := page
		if limit > 0 {
			n = min(n, limit-int64(len(rows)))
		}
		br, err := batch(Header{MaxKeys: n}, r)
		if err != nil {
			return nil, err
		}
		more, resume := ScanResult(br.Responses[0])
		rows = append(rows, more...)
		if resume.IsPoint() || limit > 0 && int64(len(rows)) >= limit {
			return rows, nil
		}
		r = WithSpan(r, resume)
	}
}

// ScanResult is what the response of a scan in either direction carries.
func ScanResult(r Response) (rows []KeyValue, resume keys.Span) {
	switch r := r.(type) {
	case *ScanResponse:
		return r.Rows, r.Resume
	case *ReverseScanResponse:
		return r.Rows, r.Resume
	}
	panic(fmt.Sprintf("kv: %s is no scan", r.Method()))
}

// Batch sends requests that are evaluated together. The header's ID is filled in,
// and its Timestamp if the handle has one. A response is returned only if the
// batch succeeded, and then answers every request.
func (db *DB) Batch(t env.Task, h Header, requests ...Request) (*BatchResponse, error) {
	*db.nextID++
	h.ID = *db.nextID
	if h.Timestamp.IsEmpty() {
		h.Timestamp = db.at
	}
	ba := &BatchRequest{Header: h, Requests: requests}
	if err := ba.Validate(); err != nil {
		return nil, err
	}
	br := db.sender.Send(t, ba)
	if br.Err != nil {
		return nil, br.Err
	}
	if err := CheckResponse(ba, br); err != nil {
		return nil, err
	}
	return br, nil
}

// CheckResponse returns an Ambiguous error if br, which comes from elsewhere and
// has no error, does not answer the requests of ba one by one.
func CheckResponse(ba *BatchRequest, br *BatchResponse) *Error {
	if len(br.Responses) != len(ba.Requests) {
		return Errorf(Ambiguous, "%d responses to %d requests", len(br.Responses), len(ba.Requests))
	}
	for i, r := range br.Responses {
		if r.Method() != ba.Requests[i].Method() {
			return Errorf(Ambiguous, "request %d, %s, is answered with %s", i, ba.Requests[i].Method(), r.Method())
		}
	}
	return nil
}
