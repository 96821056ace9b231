// Package access says who is calling: it knows systems and their public keys,
// issues vouchers where the hub itself does so (a pilot without PDND),
// verifies vouchers as those of PDND are verified, and counts calls against a
// rate per system.
//
// It guarantees that a voucher is accepted only if its signature, type, times
// and every one of its ids fit the e-service it was presented to and the
// client it names (design.md section 9, domain.md 6.2), that a client
// assertion is accepted once, across restarts and replicas (design.md 5.7),
// and that no error carries a byte of a token. Whatever is wrong, the answer
// is the same one; the check that failed is only in the wrapped cause, for
// logs.
//
// It refuses every algorithm but RS256, every header member but alg, kid, typ
// and use, JSON serialisations, encrypted tokens, tokens over 8 KiB, member
// names said twice, and vouchers bound to a proof of possession, which this
// version cannot check. It fetches nothing: keys come from configuration and
// from the store.
package access
