// Package person knows how persons are named in Italy and turns what a record
// says into a subject id.
//
// Identifiers (codice fiscale, provisional eleven-digit code, STP, ENI, ANPR id,
// a body's own local code) exist only when they are well formed: a wrong check
// character never becomes a person key. Their values cannot be printed, logged
// or encoded. The directory maps the keyed digests of identifiers to random
// subject ids (protocol.md 2.3): a person never seen gets an id whose rows are
// durable before it is used; of several known identifiers the strongest
// decides; an unknown one is attached to a known person only where the sender's
// role identifies persons; two known persons are never joined by a record.
// Officers link them; [Group] is the closure of such links.
//
// It refuses to judge what it cannot know: there is no list of birthplaces
// here, no registry is asked whether a code was ever issued, and two codes that
// differ by omocodia only are two persons until an officer says otherwise.
package person
