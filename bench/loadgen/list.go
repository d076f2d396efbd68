package main

import (
	"context"
	"fmt"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// runList reads ranges over the prefix.
//
//	first: the first page of --limit keys, again and again (what every list of kube-apiserver starts with)
//	walk:  page after page as kube-apiserver does it: the next page starts behind the last key, at the
//	       revision of the first page; a request is one page
//	full:  the whole prefix in one answer
func runList(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("list", 1000, 30)
	mode := flags.String("mode", "first", "first, walk or full")
	limit := flags.Int64("limit", 500, "keys of a page (first, walk)")
	expect := flags.Int64("expect", 0, "number of keys under the prefix; another count is an error")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	l := &lister{prefix: c.prefix, end: clientv3.GetPrefixRangeEnd(c.prefix), limit: *limit, expect: *expect}
	var do request
	switch *mode {
	case "first":
		do = l.first
	case "walk":
		l.places = make([]place, c.clients)
		do = l.walk
	case "full":
		l.limit = 0
		do = l.first
	default:
		return nil, fmt.Errorf("unknown --mode %q", *mode)
	}
	result := c.drive(ctx, clients, do)
	result.Extra = map[string]float64{"keys_per_second": float64(l.keys.Load()) / result.Seconds}
	return result, nil
}

type lister struct {
	prefix, end   string
	limit, expect int64
	keys          atomic.Int64
	places        []place
}

// place is how far the walk of one worker has come.
type place struct {
	key      string
	revision int64
}

func (l *lister) first(ctx context.Context, cli *clientv3.Client, _, _ int) error {
	got, err := cli.Get(ctx, l.prefix, clientv3.WithRange(l.end), clientv3.WithLimit(l.limit))
	if err != nil {
		return err
	}
	l.keys.Add(int64(len(got.Kvs)))
	return l.check(got, l.expect)
}

func (l *lister) check(got *clientv3.GetResponse, count int64) error {
	if l.expect == 0 {
		return nil
	}
	want := count
	if l.limit > 0 {
		want = min(l.limit, count)
	}
	if got.Count != count || int64(len(got.Kvs)) != want || got.More != (want < count) {
		return fmt.Errorf("count %d, %d keys, more %t; expected count %d",
			got.Count, len(got.Kvs), got.More, count)
	}
	return nil
}

func (l *lister) walk(ctx context.Context, cli *clientv3.Client, worker, _ int) error {
	at := &l.places[worker]
	if at.key == "" {
		at.key, at.revision = l.prefix, 0
	}
	got, err := cli.Get(ctx, at.key,
		clientv3.WithRange(l.end), clientv3.WithLimit(l.limit), clientv3.WithRev(at.revision))
	if err != nil {
		return err
	}
	l.keys.Add(int64(len(got.Kvs)))
	if !got.More {
		at.key = "" // the next request starts a new walk
		return nil
	}
	if at.revision == 0 {
		at.revision = got.Header.Revision
	}
	at.key = string(got.Kvs[len(got.Kvs)-1].Key) + "\x00"
	return nil
}
