// Package gate decides whether one record may be disclosed through one flow,
// for its principal and for every affected person, and in which categories.
//
// It guarantees that a decision is a pure function of a [Question] and of
// [Facts]: no clock, no store, no configuration is read. It permits only what
// a clause in force, a role held, and, where the clause asks for them, a
// consent at its newest version (over linked ids) and an open dossier permit.
// Whatever is missing or unknown is not permitted.
//
// It refuses to see values of a record: a question holds categories and
// results of conditions.
package gate
