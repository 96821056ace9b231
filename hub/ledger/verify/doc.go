// Package verify holds an exported ledger to its promises, trusting nothing but
// the export and a public key.
//
// It guarantees that an export without findings is complete up to a signed
// checkpoint (and extends an earlier one, if that is given), that every record
// went through its states as protocol.md 7 allows, and that no record was
// claimed for a recipient on a clause, role, consent or dossier that was not in
// force before the claim, or while disclosures were stopped.
//
// It refuses to guess: what the ledger cannot show stands in
// [Report.NotProved]. It shares with the hub its vocabulary and the meaning of
// consents, and no code that decides, writes or reads a ledger.
package verify
