package invariants

import (
	"simulacrum/checker"
	"simulacrum/checker/history"
	"simulacrum/cluster"
	"simulacrum/db/mvcc"
	"simulacrum/db/replica"
	"simulacrum/db/storage"
	"simulacrum/workloads"
)

// versionsOf lists what a command wrote to keys of clients.
func versionsOf(c *replica.Command) ([]checker.Version, error) {
	var b storage.Batch
	if err := b.SetRepr(c.Batch); err != nil {
		return nil, err
	}
	var out []checker.Version
	for _, op := range b.Ops() {
		if op.Kind != "put" {
			continue
		}
		k, v, bare, err := mvcc.DecodeVersion(op.Key, op.Value)
		if err != nil {
			return out, err
		}
		user := cluster.UserKey(k)
		if user == nil || bare {
			continue
		}
		value := history.NoKey()
		if v.Exists {
			if value, err = workloads.Decode(v.Bytes); err != nil {
				return out, err
			}
		}
		out = append(out, checker.Version{Key: string(user), TS: history.Timestamp{Wall: v.Timestamp.Wall, Logical: v.Timestamp.Logical}, Value: value})
	}
	return out, nil
}
