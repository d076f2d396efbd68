// Command kube speaks to one etcd server the way the storage layer of kube-apiserver does, and writes
// down what the server answered.
//
//	kube --endpoint http://127.0.0.1:2379 guaranteed-update
//
// Each scenario works under /registry/SCENARIO/ and prints lines that are the same for every correct
// server: revisions are given relative to the revision at which the scenario began; ids and times are
// left out. It ends with 0 when the scenario's own checks hold too.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const scenarioTimeout = 45 * time.Second

var scenarios = map[string]func(*run){
	"startup":           startup,
	"objects":           objects,
	"guaranteed-update": guaranteedUpdate,
	"pages":             pages,
	"watch":             watch,
	"watch-compacted":   watchCompacted,
	"progress":          progress,
	"leases":            leases,
	"compactor":         compactor,
	"limits":            limits,
}

func main() {
	endpoint := flag.String("endpoint", "http://127.0.0.1:2379", "client URL of the server")
	flag.Usage = usage
	flag.Parse()
	scenario, ok := scenarios[flag.Arg(0)]
	if !ok || flag.NArg() != 1 {
		usage()
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scenarioTimeout)
	defer cancel()
	client, err := connect(ctx, *endpoint)
	if err != nil {
		fmt.Fprintln(os.Stderr, "connect:", err)
		os.Exit(1)
	}
	defer client.Close()
	r := &run{ctx: ctx, client: client, endpoint: *endpoint, prefix: "/registry/" + flag.Arg(0) + "/"}
	r.base = r.count("").Header.Revision
	scenario(r)
}

func usage() {
	names := make([]string, 0, len(scenarios))
	for name := range scenarios {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: kube --endpoint URL SCENARIO\n%s\n", strings.Join(names, "\n"))
}

// connect dials as kube-apiserver does: it waits for the connection and keeps it alive.
func connect(ctx context.Context, endpoint string) (*kubernetes.Client, error) {
	return kubernetes.New(clientv3.Config{
		Context:              ctx,
		Endpoints:            []string{endpoint},
		DialTimeout:          20 * time.Second,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		DialOptions:          []grpc.DialOption{grpc.WithBlock()},
		Logger:               zap.NewNop(),
	})
}
