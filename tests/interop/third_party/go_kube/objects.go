package main

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

// startup is what happens before the first object: health, versions, sizes, members.
func startup(r *run) {
	health, err := r.client.Kubernetes.Get(r.ctx, r.key("health"), kubernetes.GetOptions{})
	r.must(err, "health")
	r.say("health key: %s at %s", r.kv(health.KV), r.rev(health.Revision))

	answer, err := r.client.Status(r.ctx, r.endpoint)
	r.must(err, "status")
	r.check(strings.HasPrefix(answer.Version, "3."), "version %q", answer.Version)
	r.say("sizes known: %t, in use is not more: %t, learner: %t, errors: %v, leader: %t",
		answer.DbSize > 0, answer.DbSizeInUse <= answer.DbSize, answer.IsLearner, answer.Errors,
		answer.Leader == answer.Header.MemberId)

	members, err := r.client.MemberList(r.ctx)
	r.must(err, "members")
	for _, member := range members.Members {
		r.say("member named: %t, serves the endpoint: %t, learner: %t, it answered: %t",
			member.Name != "", fmt.Sprint(member.ClientURLs) == "["+r.endpoint+"]", member.IsLearner,
			member.ID == members.Header.MemberId)
	}
	r.must(r.client.Sync(r.ctx), "sync")
	r.say("endpoints after sync: the same: %t", fmt.Sprint(r.client.Endpoints()) == "["+r.endpoint+"]")
	alarms, err := r.client.AlarmList(r.ctx)
	r.must(err, "alarms")
	r.say("alarms: %d", len(alarms.Alarms))
}

// objects goes through the life of one object, and through each way to be refused.
func objects(r *run) {
	store, key := r.client.Kubernetes, r.key("pods/default/a")
	put := func(what, value string, expected int64, get bool) {
		answer, err := store.OptimisticPut(
			r.ctx, key, []byte(value), expected, kubernetes.PutOptions{GetOnFailure: get})
		r.say("%s: %t at %s, found %s, %s",
			what, answer.Succeeded, r.rev(answer.Revision), r.kv(answer.KV), failure(err))
	}
	remove := func(what string, expected int64) {
		answer, err := store.OptimisticDelete(
			r.ctx, key, expected, kubernetes.DeleteOptions{GetOnFailure: true})
		r.say("%s: %t at %s, found %s, %s",
			what, answer.Succeeded, r.rev(answer.Revision), r.kv(answer.KV), failure(err))
	}
	get := func(what string, revision int64) {
		answer, err := store.Get(r.ctx, key, kubernetes.GetOptions{Revision: revision})
		r.say("%s: %s at %s, %s", what, r.kv(answer.KV), r.rev(answer.Revision), failure(err))
	}

	put("update before create", "v", r.base, true)
	put("create", "one", 0, false)
	put("create again", "other", 0, false)
	put("create again, and look", "other", 0, true)
	put("update", "two", r.base+1, true)
	put("update what has changed", "three", r.base+1, true)
	get("get", 0)
	get("get the past", r.base+1)
	get("get before it was", r.base)
	get("get the future", r.base+1000)
	remove("delete what has changed", r.base+1)
	remove("delete", r.base+2)
	remove("delete again", r.base+2)
	get("get the deleted", 0)
	put("create once more", "reborn", 0, true)
	get("get the reborn", 0)
}

const (
	updaters         = 8
	updatesOfEachOne = 15
)

// guaranteedUpdate lets many callers count one object up; a lost update would show in the end.
func guaranteedUpdate(r *run) {
	r.create("counter", "0", kubernetes.PutOptions{})
	var group sync.WaitGroup
	for i := 0; i < updaters; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; n < updatesOfEachOne; n++ {
				r.countUp()
			}
		}()
	}
	group.Wait()
	got, err := r.client.Kubernetes.Get(r.ctx, r.key("counter"), kubernetes.GetOptions{})
	r.must(err, "get")
	r.check(string(got.KV.Value) == strconv.Itoa(updaters*updatesOfEachOne), "value %s", got.KV.Value)
	r.say("in the end: %s at %s", r.kv(got.KV), r.rev(got.Revision))
}

// countUp reads, adds one and writes; after a conflict it goes on from what the answer holds.
func (r *run) countUp() {
	got, err := r.client.Kubernetes.Get(r.ctx, r.key("counter"), kubernetes.GetOptions{})
	r.must(err, "get")
	found := got.KV
	for {
		value, err := strconv.Atoi(string(found.Value))
		r.must(err, "value")
		answer, err := r.client.Kubernetes.OptimisticPut(r.ctx, r.key("counter"),
			[]byte(strconv.Itoa(value+1)), found.ModRevision, kubernetes.PutOptions{GetOnFailure: true})
		r.must(err, "update")
		if answer.Succeeded {
			return
		}
		found = answer.KV
	}
}

// pages lists with limit and continue at one revision while objects come, change and go.
func pages(r *run) {
	const total, limit = 25, 10
	revisions := make([]int64, total)
	for i := range revisions {
		revisions[i] = r.create(fmt.Sprintf("pods/%02d", i), strconv.Itoa(i), kubernetes.PutOptions{})
	}
	r.create("podsets/a", "a neighbour, not in the list", kubernetes.PutOptions{})

	options := kubernetes.ListOptions{Limit: limit}
	for page := 1; ; page++ {
		answer, err := r.client.Kubernetes.List(r.ctx, r.key("pods/"), options)
		r.must(err, "list")
		r.say("page %d: %d of %d at %s", page, len(answer.Kvs), answer.Count, r.rev(answer.Revision))
		for _, kv := range answer.Kvs {
			r.say("  %s", r.kv(kv))
		}
		if int64(len(answer.Kvs)) == answer.Count {
			break
		}
		if options.Revision == 0 {
			options.Revision = answer.Revision
		}
		options.Continue = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
		r.remove(fmt.Sprintf("pods/%02d", 20+page), revisions[20+page])
		r.update(fmt.Sprintf("pods/%02d", 15+page), "changed", revisions[15+page])
		r.create(fmt.Sprintf("pods/%02d", total+page), "new", kubernetes.PutOptions{})
	}
	for _, options := range []kubernetes.ListOptions{{}, {Limit: 1}, {Revision: r.base + 5}, {Revision: r.base}} {
		answer, err := r.client.Kubernetes.List(r.ctx, r.key("pods/"), options)
		r.must(err, "list")
		r.say("list limit %d: %d of %d at %s", options.Limit, len(answer.Kvs), answer.Count, r.rev(answer.Revision))
	}
	_, err := r.client.Kubernetes.List(r.ctx, r.key("pods/"), kubernetes.ListOptions{Revision: r.base + 1000})
	r.say("list the future: %s", failure(err))
	count, err := r.client.Kubernetes.Count(r.ctx, r.key("pods/"), kubernetes.CountOptions{})
	r.must(err, "count")
	r.say("count: %d", count)

	keys, err := r.client.KV.Get(r.ctx, r.key("pods/"), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	r.must(err, "keys only")
	r.say("keys only: %d, first %s", len(keys.Kvs), r.kv(keys.Kvs[0]))
}
