// Package bench measures a whole hub: from a caller's bytes on a socket to the
// recipient's own, with everything on that a pilot has on (vouchers, rate
// limits, validation, gate, mapping, ledger, metrics, log), on a real disk.
//
// It guarantees that a rate counts only what is accounted for: a run ends when
// every accepted record has reached every recipient, the recipients have
// counted as many, and the hub's own sums say the same. Generator and
// recipients run in the same process, so what they cost is in every figure.
//
// It refuses to be a microbenchmark: those stand beside the code they measure.
//
// What is under way is bounded (-backlog), so that the rate is one that lasts and
// latencies are those of a hub that keeps up; with -backlog 0 intake runs ahead.
// Bytes and flushes are the disk's own count, which includes other programs'.
//
//	go test ./hub/hubtest/bench -count 1 -timeout 0 -run TestPath -v -args -duration 30s -out bench.json
package bench
