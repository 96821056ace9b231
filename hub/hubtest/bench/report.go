package bench

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Report is what a run came to. Durations are in the unit of their name.
type Report struct {
	Scenario    string `json:"scenario"`
	Connections int    `json:"connections"`
	Processors  int    `json:"processors"`
	Load        string `json:"load_average"` // of the machine: what else ran is in the rates

	Records     int64   `json:"records"`
	Disclosures int64   `json:"disclosures"`
	TurnedAway  int64   `json:"turned_away"` // answers 429 and 503; the same request was repeated
	Pushing     float64 `json:"pushing_seconds"`
	Settled     float64 `json:"settled_seconds"` // until every record had been accounted for

	AcceptedRate float64 `json:"accepted_records_per_second"`
	SettledRate  float64 `json:"settled_records_per_second"` // the rate that counts

	AckP50       float64 `json:"acknowledged_p50_ms"`
	AckP99       float64 `json:"acknowledged_p99_ms"`
	DeliveredP50 float64 `json:"delivered_p50_ms"` // to recipients that are called
	DeliveredP99 float64 `json:"delivered_p99_ms"`
	FetchedP50   float64 `json:"fetched_p50_ms"` // by those that fetch
	FetchedP99   float64 `json:"fetched_p99_ms"`

	CPU         float64 `json:"cpu_us_per_record"` // hub, generator and recipients together
	CPUSystem   float64 `json:"cpu_system_us_per_record"`
	Written     float64 `json:"disk_bytes_written_per_record"` // by the disk, the making of files included
	Flushes     float64 `json:"disk_flushes_per_record"`
	WriteCalls  float64 `json:"write_calls_per_record"`
	Allocated   float64 `json:"bytes_allocated_per_record"`
	Allocations float64 `json:"allocations_per_record"`
	Collections uint32  `json:"garbage_collections"`

	MemoryStart int64 `json:"memory_start_bytes"`
	MemoryEarly int64 `json:"memory_early_bytes"` // highest in the second fifth of the run
	MemoryLate  int64 `json:"memory_late_bytes"`  // highest in the last fifth of pushing
	MemoryMax   int64 `json:"memory_max_bytes"`
}

func (r *run) report(s Scenario, pushing time.Duration, before, after usage, memory []int64) Report {
	n := float64(max(r.accepted.Load(), 1))
	took := after.at.Sub(before.at)
	us := func(d time.Duration) float64 { return float64(d.Microseconds()) / n }
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	out := Report{Scenario: s.Name, Connections: s.Connections, Processors: runtime.GOMAXPROCS(0), Load: load(),
		Records: r.accepted.Load(), Disclosures: r.disclosures.Load(), TurnedAway: r.turnedAway.Load(),
		Pushing: pushing.Seconds(), Settled: took.Seconds(), AcceptedRate: n / pushing.Seconds(), SettledRate: n / took.Seconds(),
		AckP50: ms(r.acknowledged.quantile(.5)), AckP99: ms(r.acknowledged.quantile(.99)),
		DeliveredP50: ms(r.watch.delivered[called].quantile(.5)), DeliveredP99: ms(r.watch.delivered[called].quantile(.99)),
		FetchedP50: ms(r.watch.delivered[fetched].quantile(.5)), FetchedP99: ms(r.watch.delivered[fetched].quantile(.99)),
		CPU: us(after.user - before.user + after.system - before.system), CPUSystem: us(after.system - before.system),
		Written: float64(after.written-before.written) / n, Flushes: float64(after.flushes-before.flushes) / n, WriteCalls: float64(after.calls-before.calls) / n,
		Allocated: float64(after.allocated-before.allocated) / n, Allocations: float64(after.allocations-before.allocations) / n,
		Collections: after.collections - before.collections, MemoryStart: memory[0], MemoryMax: slices.Max(memory)}
	if steps := int(pushing.Seconds()); steps >= 10 && len(memory) > steps {
		out.MemoryEarly = slices.Max(memory[steps/5 : 2*steps/5])
		out.MemoryLate = slices.Max(memory[steps*4/5 : steps])
	}
	return out
}

// String is the report for people.
func (r Report) String() string {
	var b strings.Builder
	line := func(name, format string, a ...any) {
		fmt.Fprintf(&b, "  %-22s "+format+"\n", append([]any{name}, a...)...)
	}
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	fmt.Fprintf(&b, "%s: %d connections, %d processors, load average %s\n", r.Scenario, r.Connections, r.Processors, r.Load)
	line("records/s", "%.0f settled, %.0f accepted (%d records, %d disclosures, pushed in %.1f s, settled in %.1f s)",
		r.SettledRate, r.AcceptedRate, r.Records, r.Disclosures, r.Pushing, r.Settled)
	line("acknowledged", "p50 %.1f ms, p99 %.1f ms; %d answers 429/503", r.AckP50, r.AckP99, r.TurnedAway)
	line("delivered", "p50 %.1f ms, p99 %.1f ms after the first byte pushed; fetched: p50 %.1f ms, p99 %.1f ms",
		r.DeliveredP50, r.DeliveredP99, r.FetchedP50, r.FetchedP99)
	line("processor", "%.0f us a record (%.0f of them in the kernel), generator and recipients included", r.CPU, r.CPUSystem)
	line("written", "%.0f bytes a record by the disk, %.3f flushes, %.2f write calls", r.Written, r.Flushes, r.WriteCalls)
	line("allocated", "%.0f bytes a record, %.0f objects; %d collections", r.Allocated, r.Allocations, r.Collections)
	line("memory", "%.0f MiB at the start, at most %.0f", mib(r.MemoryStart), mib(r.MemoryMax))
	if r.MemoryEarly > 0 {
		line("memory over time", "at most %.0f MiB in the second fifth, %.0f in the last", mib(r.MemoryEarly), mib(r.MemoryLate))
	}
	return b.String()
}
