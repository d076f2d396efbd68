package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/kubernetes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// run is one scenario on one server.
type run struct {
	ctx      context.Context
	client   *kubernetes.Client
	endpoint string
	prefix   string
	base     int64 // the store's revision when the scenario began
}

func (r *run) key(name string) string { return r.prefix + name }

// say prints one line of the transcript.
func (r *run) say(format string, arguments ...any) {
	fmt.Printf(format+"\n", arguments...)
}

// must ends the program when a call failed that should not.
func (r *run) must(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// check ends the program when something is not so.
func (r *run) check(holds bool, format string, arguments ...any) {
	if !holds {
		fmt.Fprintf(os.Stderr, format+"\n", arguments...)
		os.Exit(1)
	}
}

// rev writes a revision relative to the scenario's beginning; 0 is none.
func (r *run) rev(revision int64) string {
	if revision == 0 {
		return "none"
	}
	return fmt.Sprintf("+%d", revision-r.base)
}

func (r *run) kv(kv *mvccpb.KeyValue) string {
	if kv == nil {
		return "none"
	}
	value := string(kv.Value)
	if len(value) > 40 {
		value = fmt.Sprintf("(%d bytes)", len(value))
	}
	return fmt.Sprintf("%s=%q created %s modified %s version %d leased %t",
		strings.TrimPrefix(string(kv.Key), r.prefix), value,
		r.rev(kv.CreateRevision), r.rev(kv.ModRevision), kv.Version, kv.Lease != 0)
}

func (r *run) event(event *clientv3.Event) string {
	text := fmt.Sprintf("%s create %t modify %t: %s",
		event.Type, event.IsCreate(), event.IsModify(), r.kv(event.Kv))
	if event.PrevKv != nil {
		text += "; before: " + r.kv(event.PrevKv)
	}
	return text
}

// failure writes an error's code and text, as a client sees them.
func failure(err error) string {
	if err == nil {
		return "no error"
	}
	if coded, ok := err.(interface{ Code() codes.Code }); ok {
		return fmt.Sprintf("%s: %s", coded.Code(), err)
	}
	return fmt.Sprintf("%s: %s", status.Code(err), err)
}

// count asks for the number of keys under a name, as the object count metric does.
func (r *run) count(name string) *clientv3.GetResponse {
	answer, err := r.client.KV.Get(r.ctx, r.key(name), clientv3.WithPrefix(), clientv3.WithCountOnly())
	r.must(err, "count")
	return answer
}

// create puts an object that must not exist yet.
func (r *run) create(name, value string, options kubernetes.PutOptions) int64 {
	answer, err := r.client.Kubernetes.OptimisticPut(r.ctx, r.key(name), []byte(value), 0, options)
	r.must(err, "create "+name)
	r.check(answer.Succeeded, "create %s: it exists", name)
	return answer.Revision
}

// update replaces an object that was read at a revision.
func (r *run) update(name, value string, expected int64) int64 {
	answer, err := r.client.Kubernetes.OptimisticPut(
		r.ctx, r.key(name), []byte(value), expected, kubernetes.PutOptions{GetOnFailure: true})
	r.must(err, "update "+name)
	r.check(answer.Succeeded, "update %s: it has changed", name)
	return answer.Revision
}

// remove deletes an object that was read at a revision.
func (r *run) remove(name string, expected int64) int64 {
	answer, err := r.client.Kubernetes.OptimisticDelete(
		r.ctx, r.key(name), expected, kubernetes.DeleteOptions{GetOnFailure: true})
	r.must(err, "delete "+name)
	r.check(answer.Succeeded, "delete %s: it has changed", name)
	return answer.Revision
}
