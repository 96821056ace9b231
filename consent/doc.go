// Package consent is what a person's recorded decision is, which states it can
// have, how one follows from another, how it is written into the ledger, and
// what it means when two ids turn out to be one person.
//
// It guarantees that only given and renewed permit, and only until their time is
// over; that no refusal, withdrawal, revocation or invalidation is undone by
// anything but a later give; that an event decodes only from exactly the bytes
// it encodes to; and that an event holds no personal data and no free text: a
// subject id, names of the network, codes, times, digests. The words are those
// of ISO/IEC TS 27560 and of the W3C Data Privacy Vocabulary.
//
// It does no I/O and reads no clock: the caller gives the moment, which inside
// the ledger is ledger time. It refuses to say who may record a consent; roles
// named by a clause say that.
package consent
