package main

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

const eventTimeout = 15 * time.Second

// watchFrom opens a watch as the apiserver's watcher does. Revision 0: from now on.
func (r *run) watchFrom(ctx context.Context, revision int64) clientv3.WatchChan {
	return r.client.Watch(clientv3.WithRequireLeader(ctx), r.prefix,
		clientv3.WithRev(revision), clientv3.WithPrevKV(), clientv3.WithPrefix(),
		clientv3.WithProgressNotify())
}

// next is the next answer of a watch.
func (r *run) next(answers clientv3.WatchChan) clientv3.WatchResponse {
	select {
	case answer, open := <-answers:
		r.check(open, "the watch has ended")
		return answer
	case <-time.After(eventTimeout):
		r.check(false, "no answer on the watch in %s", eventTimeout)
	}
	panic("unreachable")
}

// sayEvents prints events until there were `want` of them, however they are grouped.
func (r *run) sayEvents(answers clientv3.WatchChan, want int) {
	for want > 0 {
		answer := r.next(answers)
		r.must(answer.Err(), "watch")
		for _, event := range answer.Events {
			r.check(event.Kv.ModRevision <= answer.Header.Revision, "an event newer than its header")
			r.say("  %s", r.event(event))
			want--
		}
	}
	r.check(want == 0, "%d events too many", -want)
}

// changes makes one of each kind of event.
func (r *run) changes() int {
	created := r.create("a", "one", kubernetes.PutOptions{})
	updated := r.update("a", "two", created)
	r.create("b", "another", kubernetes.PutOptions{})
	r.remove("a", updated)
	r.create("a", "reborn", kubernetes.PutOptions{})
	return 5
}

// watch follows a list: history from the list's revision on, then what happens now.
func watch(r *run) {
	happened := r.changes()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()

	r.say("from the beginning")
	past := r.watchFrom(ctx, r.base+1)
	r.sayEvents(past, happened)
	r.say("from the middle")
	middle := r.watchFrom(ctx, r.base+4)
	r.sayEvents(middle, 2)

	listed, err := r.client.Kubernetes.List(r.ctx, r.prefix, kubernetes.ListOptions{})
	r.must(err, "list")
	fromList := r.watchFrom(ctx, listed.Revision+1)
	found := map[string]int64{}
	for _, kv := range listed.Kvs {
		found[string(kv.Key)] = kv.ModRevision
	}
	removed := r.remove("b", found[r.key("b")])
	r.create("c", "new", kubernetes.PutOptions{})
	r.say("after a list at %s, a delete at %s", r.rev(listed.Revision), r.rev(removed))
	for name, answers := range map[string]clientv3.WatchChan{"past": past, "middle": middle} {
		for want := 2; want > 0; {
			answer := r.next(answers)
			r.must(answer.Err(), name)
			want -= len(answer.Events)
		}
	}
	r.sayEvents(fromList, 2)

	r.txnEvents(r.watchFrom(ctx, r.count("").Header.Revision+1))
	cancel()
	for range past {
	}
	r.say("cancelled watches are closed")
}

// txnEvents checks that the changes of one transaction come in one answer.
func (r *run) txnEvents(answers clientv3.WatchChan) {
	_, err := r.client.KV.Txn(r.ctx).Then(
		clientv3.OpPut(r.key("t1"), "1"), clientv3.OpPut(r.key("t2"), "2"), clientv3.OpDelete(r.key("c")),
	).Commit()
	r.must(err, "txn")
	answer := r.next(answers)
	r.say("one transaction: %d events in one answer", len(answer.Events))
	for _, event := range answer.Events {
		r.say("  %s", r.event(event))
	}
}

// watchCompacted starts a watch and a list at a revision that is gone: the apiserver lists again.
//
// The revision compacted to is a put. A deletion exactly there is kept by releases after 3.5.15 and
// dropped by older ones.
func watchCompacted(r *run) {
	r.changes()
	_, err := r.client.Compact(r.ctx, r.base+3)
	r.must(err, "compact")
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	answers := r.watchFrom(ctx, r.base+2)
	answer := r.next(answers)
	r.say("canceled %t, compacted at %s, events %d, %s",
		answer.Canceled, r.rev(answer.CompactRevision), len(answer.Events), failure(answer.Err()))
	_, open := <-answers
	r.say("open afterwards: %t", open)
	_, err = r.client.Kubernetes.List(r.ctx, r.prefix, kubernetes.ListOptions{Revision: r.base + 2, Limit: 1})
	r.say("list: %s", failure(err))
	_, err = r.client.Kubernetes.Get(r.ctx, r.key("a"), kubernetes.GetOptions{Revision: r.base + 2})
	r.say("get: %s", failure(err))
	_, err = r.client.Compact(r.ctx, r.base+2)
	r.say("compact the compacted: %s", failure(err))
	_, err = r.client.Compact(r.ctx, r.base+1000)
	r.say("compact the future: %s", failure(err))
	r.say("from the compacted revision on")
	r.sayEvents(r.watchFrom(ctx, r.base+3), 3)
}

// progress asks for progress notifications, and waits for those that come by themselves.
func progress(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	answers := r.watchFrom(ctx, 0)
	r.create("a", "one", kubernetes.PutOptions{})
	r.sayEvents(answers, 1)
	for _, key := range []string{"/elsewhere/a", "/elsewhere/b"} {
		_, err := r.client.KV.Put(r.ctx, key, "moves the store's revision on")
		r.must(err, "put")
	}
	r.say("asked for: %s", r.progressTo(answers, r.base+3, true))
	_, err := r.client.KV.Put(r.ctx, "/elsewhere/c", "again")
	r.must(err, "put")
	r.say("by itself: %s", r.progressTo(answers, r.base+4, false))
}

// progressTo waits until a notification names a revision; it must never name one beyond.
func (r *run) progressTo(answers clientv3.WatchChan, revision int64, ask bool) string {
	for {
		if ask {
			r.must(r.client.RequestProgress(clientv3.WithRequireLeader(r.ctx)), "request progress")
		}
		answer := r.next(answers)
		r.must(answer.Err(), "watch")
		r.check(answer.IsProgressNotify(), "%d events where none should be", len(answer.Events))
		r.check(answer.Header.Revision <= revision, "progress to a revision that is not yet")
		if answer.Header.Revision == revision {
			return fmt.Sprintf("progress to %s", r.rev(answer.Header.Revision))
		}
	}
}
