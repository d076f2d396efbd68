package main

import (
	"context"
	"fmt"
	"net"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	readyPoll    = 2 * time.Millisecond
	readyTimeout = 500 * time.Millisecond
)

// runReady waits for the first linearizable Range that succeeds. It polls the port itself: gRPC's own
// reconnecting backs off, and would add its pauses to what is measured.
func runReady(ctx context.Context, args []string) (*report, error) {
	flags, c := newFlags("ready", 1, 120)
	flags.Parse(args)
	began := time.Now()
	for time.Since(began) < c.limit() && ctx.Err() == nil {
		if probe(ctx, c.endpoint) == nil {
			took := time.Since(began)
			return &report{Requests: 1, Seconds: took.Seconds()}, nil
		}
		time.Sleep(readyPoll)
	}
	return nil, fmt.Errorf("no Range succeeded within %g s", c.seconds)
}

func probe(ctx context.Context, endpoint string) error {
	open, err := net.DialTimeout("tcp", endpoint, readyTimeout)
	if err != nil {
		return err
	}
	open.Close()
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := grpc.DialContext(ctx, endpoint,
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithBlock())
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = pb.NewKVClient(conn).Range(ctx, &pb.RangeRequest{Key: []byte("\x00")})
	return err
}
