package names

import (
	"fmt"
	"testing"
)

// Numbers are given in order and stay, also for names that share a slot of the
// small table.
func TestNumbersStay(t *testing.T) {
	var n Table
	const many = 5000
	for round := 0; round < 3; round++ {
		for i := 0; i < many; i++ {
			if id := n.ID(fmt.Sprint("key-", i)); id != int32(i) {
				t.Fatalf("key-%d has number %d", i, id)
			}
		}
	}
	if id, ok := n.Find("key-7"); !ok || id != 7 || n.Name(7) != "key-7" || n.Len() != many {
		t.Fatal("a name is not found again")
	}
	if _, ok := n.Find("nobody"); ok || n.ID("") != many {
		t.Fatal("names that were never given are found")
	}
}
