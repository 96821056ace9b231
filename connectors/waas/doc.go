// Package waas is the connector by which INPS fetches social benefits for the
// SIUSS (formerly Casellario dell'assistenza) from a municipality: the inverse
// e-service WaaS-SIUSS-Alimentazione 2.0.1 (INPS-it/WaaS.Comuni, OpenAPI 3.0.3),
// which the hub serves on behalf of each body, under a base path per body:
//
//	GET  <base>/flussi?since=<ms>&limit=<0..100>   200 {"elenco_flussi": [...]}
//	POST <base>/esiti {"elenco_esiti": [...]}      204
//	GET  <base>/status                             200 problem+json
//
// # The fetch is the claim
//
// A request for flows asks [connectors.Claims.Fetch] without a lease: what is
// fetched is decided and claimed durably before a byte is written, and what was
// fetched before and has no outcome yet is listed again (a renewal), because
// INPS repeats a request whose answer it lost with the same `since`. Settled
// flows leave the list.
//
// `ts_flusso` is Fetched.FetchableAt: given by the hub under the head lock when
// the record becomes fetchable, strictly increasing per body, so that a pager
// that asks for what lies after the last one misses nothing. A page that breaks
// this order is answered 500, never written.
//
// # id_flusso
//
// A flow is called EEEE.TIPO.AAAAMMGG.NNNNNNN: Belfiore code of the body, PS or
// SINBA, day in Europe/Rome, progressive of that day. The same text stands in
// the XML (IdentificazioneFlusso@Nome, at most 50 characters), so it must exist
// before the record is encoded and stay the same at every attempt. The outlet
// is therefore a [connectors.Namer]: the hub asks it when it queues the record,
// draws the number from a durable counter per series, stores the name with the
// row and hands it to the encoder. The official example has eight digits where
// its own description says seven: names are written with seven and read in
// /esiti with either.
//
// # Esiti
//
// All outcomes of one POST settle in one call. OK is delivered and stands
// against whatever follows; RICHIESTA_INVALIDA and DATI_NON_TROVATI park the
// record with a reason of their own; ERRORE_GENERICO has it offered again with a
// new ts_flusso, five times, then parks it (protocol.md 6.3). An outcome about
// an earlier offering (its ts_flusso tells) and a repeated one change nothing.
// An unknown id_flusso is answered 204 like a known one and counted.
// `descrizione_esito` is free text about a person's record: it is not kept.
//
// # What is refused
//
// Another caller than the configured system gets 404, the same as a path that
// does not exist. Malformed parameters and bodies get 400, over-long ones 413;
// nothing is fetched or settled then. Unknown query parameters are ignored.
// `limit=0` is answered with an empty list and claims nothing.
package waas
