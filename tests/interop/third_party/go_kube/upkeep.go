package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// leases attaches objects with a time to live to shared leases, as events and endpoint leases are.
func leases(r *run) {
	short, err := r.client.Grant(r.ctx, 1)
	r.must(err, "grant")
	long, err := r.client.Grant(r.ctx, 600)
	r.must(err, "grant")
	r.say("granted: %d and %d", short.TTL, long.TTL)
	r.create("events/a", "soon gone", kubernetes.PutOptions{LeaseID: short.ID})
	r.create("events/b", "soon gone", kubernetes.PutOptions{LeaseID: short.ID})
	created := r.create("masterleases/10.0.0.1", "stays", kubernetes.PutOptions{LeaseID: long.ID})

	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	answers := r.watchFrom(ctx, created+1)
	r.say("expired")
	r.sayEvents(answers, 2)
	_, err = r.client.Kubernetes.OptimisticPut(
		r.ctx, r.key("events/c"), []byte("late"), 0, kubernetes.PutOptions{LeaseID: short.ID})
	r.say("put with the expired lease: %s", failure(err))
	left, err := r.client.TimeToLive(r.ctx, short.ID)
	r.must(err, "time to live")
	r.say("time to live of the expired lease: %d", left.TTL)

	next, err := r.client.Grant(r.ctx, 600)
	r.must(err, "grant")
	answer, err := r.client.Kubernetes.OptimisticPut(r.ctx, r.key("masterleases/10.0.0.1"),
		[]byte("renewed"), created, kubernetes.PutOptions{LeaseID: next.ID})
	r.must(err, "renew")
	r.say("renewed: %t", answer.Succeeded)
	_, err = r.client.Revoke(r.ctx, long.ID)
	r.must(err, "revoke")
	kept, err := r.client.Kubernetes.Get(r.ctx, r.key("masterleases/10.0.0.1"), kubernetes.GetOptions{})
	r.must(err, "get")
	r.say("kept by the next lease: %s", r.kv(kept.KV))
	_, err = r.client.Revoke(r.ctx, next.ID)
	r.must(err, "revoke")
	r.say("revoked: %d keys left", r.count("").Count)
	_, err = r.client.Revoke(r.ctx, next.ID)
	r.say("revoke again: %s", failure(err))
}

// compactor is one round after the other of the compactions that several API servers agree on by
// the key compact_rev_key: who wins the round compacts, who loses learns the round and the revision.
func compactor(r *run) {
	const key = "compact_rev_key"
	_, err := r.client.KV.Delete(r.ctx, key)
	r.must(err, "reset")
	r.base = r.count("").Header.Revision
	round := func(time, revision int64) {
		answer, err := r.client.KV.Txn(r.ctx).If(
			clientv3.Compare(clientv3.Version(key), "=", time),
		).Then(
			clientv3.OpPut(key, strconv.FormatInt(revision, 10)),
		).Else(
			clientv3.OpGet(key),
		).Commit()
		r.must(err, "txn")
		if !answer.Succeeded {
			found := answer.Responses[0].GetResponseRange().Kvs[0]
			value, err := strconv.ParseInt(string(found.Value), 10, 64)
			r.must(err, "value")
			r.say("round %d lost: version %d, revision %s, now %s",
				time, found.Version, r.rev(value), r.rev(answer.Header.Revision))
			return
		}
		r.say("round %d won at %s", time, r.rev(answer.Header.Revision))
		if revision > r.base {
			compacted, err := r.client.Compact(r.ctx, revision)
			r.must(err, "compact")
			r.say("compacted %s at %s", r.rev(revision), r.rev(compacted.Header.Revision))
		}
	}
	round(0, r.base)
	round(0, r.base)
	created := r.create("a", "one", kubernetes.PutOptions{})
	updated := r.update("a", "two", created)
	round(1, updated)
	round(1, updated)
	round(2, r.base+4)
	_, err = r.client.Kubernetes.Get(r.ctx, r.key("a"), kubernetes.GetOptions{Revision: created})
	r.say("the past: %s", failure(err))
	kept, err := r.client.Kubernetes.Get(r.ctx, r.key("a"), kubernetes.GetOptions{Revision: r.base + 4})
	r.must(err, "get")
	r.say("at the compacted revision: %s", r.kv(kept.KV))
}

// limits goes to the sizes that a server refuses, and beyond a deadline.
func limits(r *run) {
	put := func(what string, bytes int) {
		answer, err := r.client.Kubernetes.OptimisticPut(r.ctx, r.key("big"),
			[]byte(strings.Repeat("x", bytes)), 0, kubernetes.PutOptions{GetOnFailure: true})
		r.say("%s: %t, %s", what, answer.Succeeded, failure(err))
	}
	put("an object of 1 MiB", 1<<20)
	put("an object of 1.7 MB", 1_700_000)
	put("an object of 3 MiB", 3<<20)
	got, err := r.client.Kubernetes.Get(r.ctx, r.key("big"), kubernetes.GetOptions{})
	r.must(err, "get")
	r.say("kept: %s", r.kv(got.KV))

	for _, name := range []string{"b", "c", "d", "e"} {
		r.create(name, strings.Repeat("y", 1<<20), kubernetes.PutOptions{})
	}
	listed, err := r.client.Kubernetes.List(r.ctx, r.prefix, kubernetes.ListOptions{})
	r.must(err, "list")
	r.say("a list of 5 MiB: %d", len(listed.Kvs))

	_, err = r.client.Kubernetes.OptimisticPut(
		r.ctx, "", []byte("x"), 0, kubernetes.PutOptions{})
	r.say("an empty key: %s", failure(err))
	late, cancel := context.WithDeadline(r.ctx, time.Now().Add(-time.Second))
	defer cancel()
	_, err = r.client.Kubernetes.Get(late, r.key("b"), kubernetes.GetOptions{})
	r.say("after the deadline: %s", failure(err))
}
