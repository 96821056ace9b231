// Package catalog holds the canonical record types, their shared definitions,
// and the table of categories of personal data with its fixed numbers.
//
// It guarantees that what [Load] returns passed the schema lint, and that a
// category's number never changes: numbers stand in ledger rows.
//
// A canonical record is what a producer sends: the hub adds record id,
// producer, time of acceptance and ground from the address, the voucher and
// the clause, so a record carries its own fields, source, recorded_at, valid,
// verification and, for corrections, supersedes and tombstone.
//
// The other record types R01 to R15 are not here yet; asking for one answers nil.
package catalog
