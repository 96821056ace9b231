// Package telemetry is what operations see: the log, and the metrics of one
// hub in a registry of its own.
//
// It guarantees closed label sets (flow, system, reason, class, lane): whatever
// is sent, the number of series stays what the network makes it, and no label
// is a person, a message, a path or a file name. A log that cannot be written
// never stalls the exchange: lines are dropped and counted.
//
// It refuses global registries.
package telemetry
