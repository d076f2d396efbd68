package main

import (
	"context"
	"fmt"
	"math/rand"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func runPut(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("put", 100_000, 60)
	keySize := flags.Int("key-size", 16, "bytes of a key")
	valueSize := flags.Int("value-size", 256, "bytes of a value")
	keySpace := flags.Int("key-space", 100_000, "number of different keys")
	sequential := flags.Bool("sequential", false, "keys in order, not by chance")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	value := randomValue(*valueSize)
	choose := chooser(c.clients, *keySpace, *sequential)
	return c.drive(ctx, clients, func(ctx context.Context, cli *clientv3.Client, w, i int) error {
		_, err := cli.Put(ctx, keyOf(c.prefix, choose(w, i), *keySize), value)
		return err
	}), nil
}

// chooser gives each worker its own sequence of key numbers: no lock between workers.
func chooser(workers, keySpace int, sequential bool) func(worker, i int) int {
	if sequential {
		return func(_, i int) int { return i % keySpace }
	}
	sources := make([]*rand.Rand, workers)
	for n := range sources {
		sources[n] = rand.New(rand.NewSource(int64(n)))
	}
	return func(worker, _ int) int { return sources[worker].Intn(keySpace) }
}

func runRange(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("range", 100_000, 60)
	keySize := flags.Int("key-size", 16, "bytes of a key")
	keySpace := flags.Int("key-space", 10_000, "number of different keys")
	serializable := flags.Bool("serializable", false, "read from the member itself, no quorum")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	var options []clientv3.OpOption
	if *serializable {
		options = append(options, clientv3.WithSerializable())
	}
	choose := chooser(c.clients, *keySpace, false)
	return c.drive(ctx, clients, func(ctx context.Context, cli *clientv3.Client, w, i int) error {
		key := keyOf(c.prefix, choose(w, i), *keySize)
		got, err := cli.Get(ctx, key, options...)
		if err == nil && len(got.Kvs) != 1 {
			return fmt.Errorf("key %s is missing: fill first", key)
		}
		return err
	}), nil
}

// runFill writes key 0 to keys-1, --revisions times over, in order of the keys.
func runFill(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("fill", 1<<31-1, 900)
	keys := flags.Int("keys", 200_000, "number of keys")
	revisions := flags.Int("revisions", 2, "puts of each key")
	keySize := flags.Int("key-size", 16, "bytes of a key")
	valueSize := flags.Int("value-size", 512, "bytes of a value")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	c.total = *keys * *revisions
	value := randomValue(*valueSize)
	result := c.drive(ctx, clients, func(ctx context.Context, cli *clientv3.Client, _, i int) error {
		_, err := cli.Put(ctx, keyOf(c.prefix, i%*keys, *keySize), value)
		return err
	})
	if result.Errors == 0 && result.Requests != c.total {
		return nil, fmt.Errorf("only %d of %d puts in %g s", result.Requests, c.total, c.seconds)
	}
	return result, nil
}

// runTxn is the write of kube-apiserver: If(mod revision is the one I read) Then(put) Else(get).
// Each worker owns its keys; --conflict-percent of its transactions carry a stale revision, fail the
// comparison and take the get.
func runTxn(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("txn", 100_000, 60)
	keySize := flags.Int("key-size", 32, "bytes of a key")
	valueSize := flags.Int("value-size", 512, "bytes of a value")
	keysPerClient := flags.Int("keys-per-client", 20, "keys that each worker updates in turn")
	conflictPercent := flags.Int("conflict-percent", 20, "share with a stale revision")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	value := randomValue(*valueSize)
	owned := make([]ownedKeys, c.clients)
	for n := range owned {
		owned[n].revisions = make([]int64, *keysPerClient)
	}
	var updated, conflicts atomic.Int64
	result := c.drive(ctx, clients, func(ctx context.Context, cli *clientv3.Client, w, _ int) error {
		mine := &owned[w]
		slot, expected, stale := mine.next(*conflictPercent)
		key := keyOf(c.prefix, w**keysPerClient+slot, *keySize)
		answer, err := cli.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(key), "=", expected)).
			Then(clientv3.OpPut(key, value)).
			Else(clientv3.OpGet(key)).
			Commit()
		if err != nil {
			return err
		}
		if answer.Succeeded == stale {
			return fmt.Errorf("txn on %s at %d: succeeded is %t", key, expected, answer.Succeeded)
		}
		if stale {
			conflicts.Add(1)
			mine.revisions[slot] = answer.Responses[0].GetResponseRange().Kvs[0].ModRevision
			return nil
		}
		updated.Add(1)
		mine.revisions[slot] = answer.Header.Revision
		return nil
	})
	result.Extra = map[string]float64{
		"updated": float64(updated.Load()), "conflicts": float64(conflicts.Load()),
	}
	return result, nil
}

// ownedKeys is what one worker of runTxn knows of its keys: the mod revision of each, 0 for none.
type ownedKeys struct {
	count     int
	revisions []int64
}

// next gives the key to update, the revision to compare with, and whether that one is made stale.
func (o *ownedKeys) next(conflictPercent int) (slot int, expected int64, stale bool) {
	slot = o.count % len(o.revisions)
	known := o.revisions[slot]
	stale = known > 0 && (o.count*conflictPercent)%100 < conflictPercent
	o.count++
	if stale {
		return slot, known - 1, true
	}
	return slot, known, false
}
