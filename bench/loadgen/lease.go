package main

import (
	"context"
	"fmt"
	"sync"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// runLease grants --total leases, then sends --keepalives keep-alives for leases among them: each
// worker over one stream, one message under way. Both phases have their own figures; the keep-alives'
// are in Extra. At the end the server is asked how many leases it has.
func runLease(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("lease", 100_000, 120)
	ttl := flags.Int64("ttl", 3600, "seconds to live of each lease")
	keepAlives := flags.Int("keepalives", 50_000, "keep-alive messages after the grants")
	flags.Parse(args)
	clients, closeAll, err := connect(c.endpoint, c.conns)
	if err != nil {
		return nil, err
	}
	defer closeAll()
	var mu sync.Mutex
	granted := make([]int64, 0, c.total)
	result := c.drive(ctx, clients, func(ctx context.Context, cli *clientv3.Client, _, _ int) error {
		lease, err := cli.Grant(ctx, *ttl)
		if err != nil {
			return err
		}
		mu.Lock()
		granted = append(granted, int64(lease.ID))
		mu.Unlock()
		return nil
	})
	if result.Errors > 0 {
		return result, nil
	}
	kept, err := keepAlive(ctx, c, clients, granted, *keepAlives)
	if err != nil {
		return nil, err
	}
	held, err := clients[0].Leases(ctx)
	if err != nil {
		return nil, err
	}
	if len(held.Leases) < len(granted) {
		return nil, fmt.Errorf("granted %d leases, the server has %d", len(granted), len(held.Leases))
	}
	result.Errors, result.FirstError = kept.Errors, kept.FirstError
	result.Extra = map[string]float64{"leases": float64(len(held.Leases))}
	if kept.LatencyMs != nil {
		result.Extra["keepalive_per_second"] = kept.PerSecond
		result.Extra["keepalive_p50_ms"] = kept.LatencyMs.P50
		result.Extra["keepalive_p99_ms"] = kept.LatencyMs.P99
	}
	return result, nil
}

// keepAlive is a second load on the same connections.
func keepAlive(
	ctx context.Context, c *common, clients []*clientv3.Client, leases []int64, count int,
) (*report, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := make([]pb.Lease_LeaseKeepAliveClient, c.clients)
	for n := range streams {
		service := pb.NewLeaseClient(clients[n%len(clients)].ActiveConnection())
		stream, err := service.LeaseKeepAlive(ctx)
		if err != nil {
			return nil, err
		}
		streams[n] = stream
	}
	phase := *c
	phase.total, phase.warmup = count, 0
	return phase.drive(ctx, clients, func(_ context.Context, _ *clientv3.Client, w, i int) error {
		id := leases[i%len(leases)]
		if err := streams[w].Send(&pb.LeaseKeepAliveRequest{ID: id}); err != nil {
			return err
		}
		answer, err := streams[w].Recv()
		if err == nil && (answer.ID != id || answer.TTL <= 0) {
			return fmt.Errorf("keep-alive of %d: answer for %d with TTL %d", id, answer.ID, answer.TTL)
		}
		return err
	}), nil
}
