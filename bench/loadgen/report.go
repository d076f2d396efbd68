package main

import (
	"math"
	"sort"
	"time"
)

// report is the line a job prints. Times are milliseconds unless the name says otherwise.
type report struct {
	Job        string             `json:"job"`
	Clients    int                `json:"clients"`
	Conns      int                `json:"conns"`
	Requests   int                `json:"requests"`
	Errors     int                `json:"errors"`
	FirstError string             `json:"first_error,omitempty"`
	Seconds    float64            `json:"seconds"`
	PerSecond  float64            `json:"per_second"`
	LatencyMs  *quantiles         `json:"latency_ms,omitempty"`
	Extra      map[string]float64 `json:"extra,omitempty"`
}

// quantiles of a set of durations, in milliseconds.
type quantiles struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// quantilesOf sorts samples in place. Nil for no samples: there is no honest number then.
func quantilesOf(samples []time.Duration) *quantiles {
	if len(samples) == 0 {
		return nil
	}
	sort.Slice(samples, func(i, j int) bool { return samples[i] < samples[j] })
	return &quantiles{
		P50: nearestRank(samples, 0.50),
		P90: nearestRank(samples, 0.90),
		P99: nearestRank(samples, 0.99),
		Max: milliseconds(samples[len(samples)-1]),
	}
}

// nearestRank is the smallest sample that at least the share q of all samples does not exceed.
func nearestRank(sorted []time.Duration, q float64) float64 {
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return milliseconds(sorted[max(rank, 0)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
