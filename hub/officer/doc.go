// Package officer records what officers, and systems in their name, decide
// about persons: consents, dossiers, links between ids, and the stop of all
// disclosures. Each is one entry of the ledger.
//
// It guarantees that only a system whose role a clause names, in the territory
// of its flow, may record a consent for that clause; that what is answered is
// durable and counts for every claim from then on; that the evidence an entry
// commits to was durable before the entry; that a yes which is older than a no
// under any linked id lifts nothing; and that the answer to a withdrawal says
// how many sends claimed before it are still under way.
//
// It refuses a consent for a purpose and recipient that no clause knows, one
// under another notice than the one in force, subject ids from anyone but an
// operator, and any act on what the caller has no part in: that looks as if it
// were not there.
package officer
