package mvcc

import (
	"simulacrum/db/keys"
)

// DecodeVersion reads one version as it is stored, for whoever looks at commands
// and disks from outside. bare says that the engine key carries no timestamp.
func DecodeVersion(engineKey, engineValue []byte) (k keys.Key, v Value, bare bool, err error) {
	k, ts, err := DecodeKey(engineKey)
	if err != nil || ts.IsEmpty() {
		return k, Value{}, err == nil, err
	}
	v, err = decodeValue(engineKey, engineValue, ts)
	return k, v, false, err
}
