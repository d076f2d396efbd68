// Command loadgen puts one kind of load on one etcd server and prints one line of JSON.
//
//	loadgen put --endpoint 127.0.0.1:2379 --clients 100 --conns 10 --total 100000
//
// Every load is bounded twice: by a number of requests (--total) and by time (--seconds); the first
// bound reached ends it. A request that fails is counted, and the first failure is in the output.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"time"
)

// job is one subcommand: it declares its flags, then runs.
type job struct {
	about string
	run   func(ctx context.Context, args []string) (*report, error)
}

var jobs = map[string]job{
	"fill":  {"write keys, each the same number of times", runFill},
	"lease": {"grant leases, then keep some of them alive", runLease},
	"list":  {"range over a prefix: first pages, whole walks, or all at once", runList},
	"put":   {"put single keys", runPut},
	"range": {"get single keys", runRange},
	"ready": {"wait for the first Range that succeeds", runReady},
	"txn":   {"compare mod revision, put, else get", runTxn},
	"watch": {"many watchers, paced puts, delivery latency", runWatch},
}

func usage() {
	names := make([]string, 0, len(jobs))
	for name := range jobs {
		names = append(names, name)
	}
	sort.Strings(names)
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "  %-6s %s\n", name, jobs[name].about)
	}
	fmt.Fprintf(os.Stderr, "usage: loadgen JOB [flags]   (loadgen JOB --help)\n%s", text.String())
}

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(2)
	}
	chosen, ok := jobs[os.Args[1]]
	if !ok {
		usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	result, err := chosen.run(ctx, os.Args[2:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "loadgen %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
	result.Job = os.Args[1]
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if result.Errors > 0 {
		os.Exit(1)
	}
}

// common holds the flags that every job has.
type common struct {
	endpoint string
	clients  int
	conns    int
	total    int
	seconds  float64
	warmup   int
	prefix   string
}

// newFlags makes the flag set of a job with the common flags in it.
func newFlags(name string, total int, seconds float64) (*flag.FlagSet, *common) {
	flags := flag.NewFlagSet(name, flag.ExitOnError)
	c := &common{}
	flags.StringVar(&c.endpoint, "endpoint", "127.0.0.1:2379", "host:port of the server")
	flags.IntVar(&c.clients, "clients", 1, "workers, each with one request under way")
	flags.IntVar(&c.conns, "conns", 1, "connections that the workers share")
	flags.IntVar(&c.total, "total", total, "requests at most")
	flags.Float64Var(&c.seconds, "seconds", seconds, "seconds at most")
	flags.IntVar(&c.warmup, "warmup", 0, "requests before the measured ones, not counted")
	flags.StringVar(&c.prefix, "prefix", "bench/", "start of every key")
	return flags, c
}

func (c *common) limit() time.Duration { return time.Duration(c.seconds * float64(time.Second)) }
