package main

import (
	"context"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	dialTimeout    = 10 * time.Second
	requestTimeout = 60 * time.Second
)

// connect opens conns connections; a clientv3.Client is one HTTP/2 connection. The endpoint may be a
// comma list: the connections then go to each in turn.
func connect(endpoint string, conns int) ([]*clientv3.Client, func(), error) {
	endpoints := strings.Split(endpoint, ",")
	clients := make([]*clientv3.Client, 0, conns)
	closeAll := func() {
		for _, c := range clients {
			c.Close()
		}
	}
	for i := 0; i < conns; i++ {
		c, err := clientv3.New(clientv3.Config{
			Endpoints:   []string{endpoints[i%len(endpoints)]},
			DialTimeout: dialTimeout,
			DialOptions: []grpc.DialOption{grpc.WithBlock()},
			Logger:      zap.NewNop(),
		})
		if err != nil {
			closeAll()
			return nil, nil, fmt.Errorf("connecting to %s: %w", endpoint, err)
		}
		clients = append(clients, c)
	}
	return clients, closeAll, nil
}

// request is one unit of load, done by worker number worker; i is its number among all requests.
type request func(ctx context.Context, cli *clientv3.Client, worker, i int) error

// worker keeps what one worker measured, so that workers share nothing while they run.
type worker struct {
	samples []time.Duration
	errors  int
	first   error
}

// drive has c.clients workers send requests, closed loop, until c.total were taken or time is up.
func (c *common) drive(ctx context.Context, clients []*clientv3.Client, do request) *report {
	if c.warmup > 0 {
		warm := *c
		warm.total, warm.warmup = c.warmup, 0
		warm.drive(ctx, clients, do)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var next atomic.Int64
	workers := make([]worker, c.clients)
	var done sync.WaitGroup
	began := time.Now()
	deadline := began.Add(c.limit())
	for n := range workers {
		done.Add(1)
		go func(n int) {
			defer done.Done()
			w, cli := &workers[n], clients[n%len(clients)]
			w.samples = make([]time.Duration, 0, c.total/c.clients+16)
			for {
				i := int(next.Add(1)) - 1
				start := time.Now()
				if i >= c.total || start.After(deadline) || ctx.Err() != nil {
					return
				}
				w.observe(start, doOne(ctx, cli, n, i, do))
			}
		}(n)
	}
	done.Wait()
	return c.merge(workers, time.Since(began))
}

func doOne(ctx context.Context, cli *clientv3.Client, n, i int, do request) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return do(ctx, cli, n, i)
}

func (w *worker) observe(start time.Time, err error) {
	if err != nil {
		w.errors++
		if w.first == nil {
			w.first = err
		}
		return
	}
	w.samples = append(w.samples, time.Since(start))
}

func (c *common) merge(workers []worker, took time.Duration) *report {
	r := &report{Clients: c.clients, Conns: c.conns, Seconds: took.Seconds()}
	var all []time.Duration
	for _, w := range workers {
		all = append(all, w.samples...)
		r.Errors += w.errors
		if w.first != nil && r.FirstError == "" {
			r.FirstError = w.first.Error()
		}
	}
	r.Requests = len(all)
	r.PerSecond = float64(len(all)) / took.Seconds()
	r.LatencyMs = quantilesOf(all)
	return r
}

// keyOf is key number n: the prefix, then zero-padded digits up to size bytes (more if n needs them).
func keyOf(prefix string, n, size int) string {
	return fmt.Sprintf("%s%0*d", prefix, max(size-len(prefix), 1), n)
}

// randomValue is the same for the same size: both servers store the same bytes.
func randomValue(size int) string {
	value := make([]byte, size)
	rand.New(rand.NewSource(int64(size))).Read(value)
	return string(value)
}
