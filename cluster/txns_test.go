package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"simulacrum/cluster"
	"simulacrum/sim"
	"simulacrum/sim/env"
	"simulacrum/workloads"
)

func putOp(key, value string) workloads.Op {
	return workloads.Op{Kind: workloads.Put, Key: []byte(key), Value: []byte(value)}
}

func getOp(key string) workloads.Op { return workloads.Op{Kind: workloads.Get, Key: []byte(key)} }

// asClient runs do as a client of a cluster of three regions and two ranges, and returns
// when it is done.
func asClient(t *testing.T, do func(task env.Task, c *cluster.Cluster, s *cluster.Session)) {
	s := sim.New(sim.Config{Seed: 7})
	defer s.Close()
	c, _ := boot(t, s, 1, 1, "m")
	done := false
	c.Clients()[0].Run(func(task env.Task, session *cluster.Session) {
		// A lease that is taken only now would abort a transaction that began before it.
		for _, k := range []string{"k", "x"} {
			if _, err := session.Do(task, []workloads.Op{putOp(k, "0")}, workloads.Options{}); err != nil {
				t.Error(err)
			}
		}
		do(task, c, session)
		done = true
	})
	s.RunUntil(s.Now().Add(60 * time.Second))
	for _, f := range s.Findings() {
		t.Fatalf("%s\n%s", &f, f.Stack)
	}
	if !done {
		t.Fatal("the client is not done")
	}
}

// A client converses in a transaction over two ranges: it sees its own writes, goes back
// to a savepoint, is told of a condition that failed and goes on, and commits all of the
// rest at one timestamp, at which it can be read again.
func TestTransactionInConversation(t *testing.T) {
	asClient(t, func(task env.Task, _ *cluster.Cluster, s *cluster.Session) {
		var first workloads.TxnResult
		for n := range 2 {
			res, err := s.Txn(task, workloads.TxnOptions{Name: "t"}, func(tx workloads.Tx) error {
				if _, err := tx.Do(task, putOp("a", fmt.Sprint(n+1)), putOp("z", fmt.Sprint(n+1))); err != nil {
					return err
				}
				save, err := tx.Savepoint(task)
				if err != nil {
					return err
				}
				if _, err := tx.Do(task, putOp("a", "100")); err != nil {
					return err
				}
				if err := tx.RollbackTo(task, save); err != nil {
					return err
				}
				_, err = tx.Do(task, workloads.Op{Kind: workloads.CPut, Key: []byte("z"), Value: []byte("200"), Expect: []byte("9")})
				var c *workloads.ConditionError
				if !errors.As(err, &c) || string(c.Actual) != fmt.Sprint(n+1) {
					return fmt.Errorf("the condition: %w", err)
				}
				out, err := tx.Do(task, getOp("a"), workloads.Op{Kind: workloads.Increment, Key: []byte("n"), Delta: 5})
				if err == nil && (string(out[0].Value) != fmt.Sprint(n+1) || out[1].Int != int64(5*(n+1))) {
					err = fmt.Errorf("%q, %d", out[0].Value, out[1].Int)
				}
				return err
			})
			if err != nil || res.Attempts != 1 || !strings.HasSuffix(res.Gateway, "/1") || res.Gateway[:2] != s.Gateway() {
				t.Fatalf("transaction %d: %+v, %v", n, res, err)
			}
			if n == 0 {
				first = res
			} else if !first.Commit.Less(res.Commit) {
				t.Errorf("committed at %v, and then at %v", first.Commit, res.Commit)
			}
		}
		past, err := s.Txn(task, workloads.TxnOptions{At: first.Commit}, func(tx workloads.Tx) error {
			out, err := tx.Do(task, getOp("a"), getOp("z"))
			if err == nil && (string(out[0].Value) != "1" || string(out[1].Value) != "1") {
				err = fmt.Errorf("the past is %q, %q", out[0].Value, out[1].Value)
			}
			return err
		})
		if err != nil || past.Commit != first.Commit {
			t.Errorf("at %v: %v, %v", first.Commit, past.Commit, err)
		}
	})
}

// What fn fails with is rolled back, and is of the class of what certainly failed.
func TestTransactionRolledBack(t *testing.T) {
	own := errors.New("changed its mind")
	asClient(t, func(task env.Task, _ *cluster.Cluster, s *cluster.Session) {
		_, err := s.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			if _, err := tx.Do(task, putOp("a", "1")); err != nil {
				return err
			}
			return own
		})
		if !errors.Is(err, own) || !errors.Is(err, workloads.ErrFailed) || errors.Is(err, workloads.ErrAmbiguous) {
			t.Errorf("the error is %v", err)
		}
		res, err := s.Do(task, []workloads.Op{getOp("a")}, workloads.Options{})
		if err != nil || res.Ops[0].Value != nil {
			t.Errorf("a has %q, %v", res.Ops[0].Value, err)
		}
	})
}

// When the gateway dies in the middle, the transaction begins anew at another: nothing
// of the first attempt is left, and the result names the gateway that committed.
func TestTransactionSurvivesItsGateway(t *testing.T) {
	asClient(t, func(task env.Task, c *cluster.Cluster, s *cluster.Session) {
		gateway, attempt := s.Gateway(), 0
		res, err := s.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			attempt++
			if _, err := tx.Do(task, putOp("a", fmt.Sprint(attempt)), putOp(fmt.Sprint("only", attempt), "1")); err != nil {
				return err
			}
			if attempt == 1 {
				c.Crash(gateway)
			}
			_, err := tx.Do(task, getOp("z"))
			return err
		})
		for i := 0; err != nil && i < 20; i++ { // a lease may have to be taken over first
			res, err = s.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
				_, err := tx.Do(task, putOp("a", "2"), putOp("only2", "1"))
				return err
			})
		}
		if err != nil || attempt < 2 || strings.HasPrefix(res.Gateway, gateway) {
			t.Fatalf("%d attempts at %s first: %+v, %v", attempt, gateway, res, err)
		}
		out, err := s.Do(task, []workloads.Op{getOp("only1")}, workloads.Options{})
		if err != nil || out.Ops[0].Value != nil {
			t.Errorf("the first attempt left %q, %v", out.Ops[0].Value, err)
		}
	})
}

// The last operations of a transaction take its commit with them. If a condition among
// them fails, nothing of the transaction has happened.
func TestTransactionCommittedWithItsLastWrite(t *testing.T) {
	asClient(t, func(task env.Task, _ *cluster.Cluster, s *cluster.Session) {
		res, err := s.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			if _, err := tx.Do(task, getOp("a")); err != nil {
				return err
			}
			out, err := tx.Commit(task, putOp("a", "1"), workloads.Op{Kind: workloads.Increment, Key: []byte("b"), Delta: 5})
			if err == nil && (len(out) != 2 || out[1].Int != 5) {
				err = fmt.Errorf("answered %v", out)
			}
			return err
		})
		if err != nil || res.Attempts != 1 || res.Commit == (workloads.Timestamp{}) {
			t.Fatalf("%+v, %v", res, err)
		}
		_, err = s.Txn(task, workloads.TxnOptions{}, func(tx workloads.Tx) error {
			_, err := tx.Commit(task, putOp("a", "2"), workloads.Op{Kind: workloads.CPut, Key: []byte("b"), Value: []byte("6"), Expect: []byte("4")})
			return err
		})
		if !errors.Is(err, workloads.ErrFailed) || errors.Is(err, workloads.ErrAmbiguous) {
			t.Errorf("a condition failed, and the commit with %v", err)
		}
		out, err := s.Do(task, []workloads.Op{getOp("a")}, workloads.Options{})
		if err != nil || string(out.Ops[0].Value) != "1" {
			t.Errorf("a has %q, %v", out.Ops[0].Value, err)
		}
	})
}
