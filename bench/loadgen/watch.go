package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// arrival is one event as one watcher received it.
type arrival struct {
	put int
	at  time.Time
}

// fanOut is one run of the watch job.
type fanOut struct {
	common     *common
	mode       string
	valueSize  int
	issued     []time.Time // by number of the put: when it was due or sent, whichever is earlier
	acked      []time.Time
	received   atomic.Int64
	putSamples []time.Duration
}

// runWatch opens --clients watchers over --conns streams, then one client puts --total keys, --rate a
// second. Every watcher must get every event it watches.
//
//	prefix:   all watchers watch the prefix: each put is delivered to every watcher
//	same-key: all watch the one key that is put
//	own-key:  each watches a key of its own, the puts go round: each put is delivered to one watcher
//
// A sample of latency_ms is the time from issuing a put to a watcher's goroutine holding its event.
// "Issuing" is the instant the put was due, when the putter was late because an earlier put had not
// been answered; otherwise the instant before the call. Extra holds the same from the instant the put
// was acknowledged (an event may come before: those count as 0), and the putter's own latency.
func runWatch(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("watch", 200, 60)
	c.clients, c.conns = 1000, 10
	flags.Lookup("clients").DefValue, flags.Lookup("conns").DefValue = "1000", "10"
	mode := flags.String("mode", "prefix", "prefix, same-key or own-key")
	rate := flags.Float64("rate", 20, "puts a second; 0: the next put follows the last delivery")
	valueSize := flags.Int("value-size", 256, "bytes of a value, at least 8")
	flags.Parse(args)
	if *mode != "prefix" && *mode != "same-key" && *mode != "own-key" {
		return nil, fmt.Errorf("unknown --mode %q", *mode)
	}
	clients, closeAll, err := connect(c.endpoint, c.conns+1)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	f := &fanOut{common: c, mode: *mode, valueSize: max(*valueSize, 8)}
	ctx, cancel := context.WithTimeout(ctx, c.limit()+requestTimeout)
	defer cancel()
	return f.run(ctx, clients, *rate)
}

func (f *fanOut) run(ctx context.Context, clients []*clientv3.Client, rate float64) (*report, error) {
	c := f.common
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	arrivals := make([][]arrival, c.clients)
	channels := make([]clientv3.WatchChan, c.clients)
	opened := time.Now()
	if err := f.open(watching, clients[:c.conns], channels); err != nil {
		return nil, err
	}
	openTook := time.Since(opened)
	var failed atomic.Pointer[error]
	var readers sync.WaitGroup
	for n := range channels {
		readers.Add(1)
		go func(n int) {
			defer readers.Done()
			if err := f.read(channels[n], &arrivals[n]); err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		}(n)
	}
	began := time.Now()
	if err := f.put(ctx, clients[c.conns], rate); err != nil {
		return nil, err
	}
	if err := f.waitDelivered(ctx, len(f.acked)); err != nil {
		if cause := failed.Load(); cause != nil {
			return nil, *cause
		}
		return nil, err
	}
	took := time.Since(began)
	stopWatching()
	readers.Wait()
	return f.report(arrivals, took, openTook), nil
}

func (f *fanOut) keyOf(n int) string {
	if f.mode == "own-key" {
		return keyOf(f.common.prefix, n%f.common.clients, 16)
	}
	return keyOf(f.common.prefix, 0, 16)
}

// open starts the watchers and waits until the server has confirmed every one.
func (f *fanOut) open(ctx context.Context, clients []*clientv3.Client, into []clientv3.WatchChan) error {
	for n := range into {
		options := []clientv3.OpOption{clientv3.WithCreatedNotify()}
		key := f.keyOf(n)
		if f.mode == "prefix" {
			key = f.common.prefix
			options = append(options, clientv3.WithPrefix())
		}
		into[n] = clients[n%len(clients)].Watch(ctx, key, options...)
	}
	for n := range into {
		first, ok := <-into[n]
		if !ok || !first.Created {
			return fmt.Errorf("watcher %d was not created: %v", n, first.Err())
		}
	}
	return nil
}

func (f *fanOut) read(events clientv3.WatchChan, into *[]arrival) error {
	for answer := range events {
		now := time.Now()
		if err := answer.Err(); err != nil {
			return fmt.Errorf("watch ended: %w", err)
		}
		for _, event := range answer.Events {
			number := int(binary.BigEndian.Uint64(event.Kv.Value))
			*into = append(*into, arrival{number, now})
		}
		f.received.Add(int64(len(answer.Events)))
	}
	return nil
}

// put sends the puts, paced. A put that is late is not dropped: its lateness counts.
func (f *fanOut) put(ctx context.Context, cli *clientv3.Client, rate float64) error {
	value := []byte(randomValue(f.valueSize))
	began := time.Now()
	for n := 0; n < f.common.total && time.Since(began) < f.common.limit(); n++ {
		issued := time.Now()
		if rate > 0 {
			due := began.Add(time.Duration(float64(n) / rate * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
				issued = time.Now()
			} else {
				issued = due
			}
		}
		binary.BigEndian.PutUint64(value, uint64(n))
		sent := time.Now()
		if _, err := cli.Put(ctx, f.keyOf(n), string(value)); err != nil {
			return fmt.Errorf("put %d: %w", n, err)
		}
		acked := time.Now()
		f.issued, f.acked = append(f.issued, issued), append(f.acked, acked)
		f.putSamples = append(f.putSamples, acked.Sub(sent))
		if rate <= 0 {
			if err := f.waitDelivered(ctx, n+1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *fanOut) watchersPerPut() int64 {
	if f.mode == "own-key" {
		return 1
	}
	return int64(f.common.clients)
}

// waitDelivered waits until every event of the first puts has reached its watchers.
func (f *fanOut) waitDelivered(ctx context.Context, puts int) error {
	want := int64(puts) * f.watchersPerPut()
	for f.received.Load() < want {
		if ctx.Err() != nil {
			return fmt.Errorf("only %d of %d events were delivered", f.received.Load(), want)
		}
		time.Sleep(200 * time.Microsecond)
	}
	return nil
}

func (f *fanOut) report(arrivals [][]arrival, took, openTook time.Duration) *report {
	fromIssue := make([]time.Duration, 0, f.received.Load())
	fromAck := make([]time.Duration, 0, f.received.Load())
	for _, mine := range arrivals {
		for _, a := range mine {
			fromIssue = append(fromIssue, a.at.Sub(f.issued[a.put]))
			fromAck = append(fromAck, max(a.at.Sub(f.acked[a.put]), 0))
		}
	}
	r := &report{Clients: f.common.clients, Conns: f.common.conns, Requests: len(fromIssue), Seconds: took.Seconds()}
	r.PerSecond = float64(len(fromIssue)) / took.Seconds()
	r.LatencyMs = quantilesOf(fromIssue)
	r.Extra = map[string]float64{"puts": float64(len(f.acked)), "open_seconds": openTook.Seconds()}
	if q := quantilesOf(fromAck); q != nil {
		r.Extra["from_ack_p50_ms"], r.Extra["from_ack_p99_ms"] = q.P50, q.P99
	}
	if q := quantilesOf(f.putSamples); q != nil {
		r.Extra["put_p50_ms"], r.Extra["put_p99_ms"] = q.P50, q.P99
	}
	return r
}
