// Package crashtest holds a whole hub, in a process of its own, to what
// reliability.md section 1 promises while it is killed, stopped, cut off from
// its disk and badly treated by its recipients.
//
// A run has a driver (this package) and a hub (a child process that is started
// again after every fault). The driver pushes requests under
// Idempotency-Keys and repeats each until it is answered, plays the recipients
// and checks what they get against an oracle that knows nothing of mappings or
// schemas, and writes every call and answer to history.jsonl. When everything
// has come to rest the checkers run:
//
//   - I1: every acknowledged record is, for each of its flows, in exactly one
//     state, and the sums of the hub are those of the acknowledgements;
//   - I2, I4, I6: the exported ledger verifies without findings, and whatever a
//     recipient received has a claim in it;
//   - I3: what arrived is, value by value, what the flow may pass on;
//   - I5: the same key gives the same acknowledgement; a person's records
//     arrive in the order in which they were accepted;
//   - I7: no canary (every synthetic person's values are unique) stands in a
//     log, a metric or a file of the data directory, in any of its usual forms;
//   - I9: memory, goroutines and descriptors stay below a ceiling;
//   - I10: the hub is ready again in time.
//
// How often a hub is killed, and a disk cut, comes from RACCORDO_KILLS and
// RACCORDO_CUTS (3 each unless set). RACCORDO_SEED fixes what is sent and when
// faults come. A run that fails keeps its directory (data, history, logs,
// received disclosures) and says how to repeat it.
//
// It refuses to look into the hub: what it knows comes over sockets and from
// files. It does not import package hub; the child that runs it is in the tests.
package crashtest
