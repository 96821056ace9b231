package consent

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"slices"

	"raccordo/hub/exchange"
)

// Scope is what one consent is about. One is in force per scope (protocol.md
// 8.2): with two, withdrawing one would leave a permit.
type Scope struct {
	Subject exchange.SubjectID
	Purpose exchange.PurposeID
	Body    exchange.BodyID // recipient
	Role    exchange.Role   // in which it receives
}

// Notice is what the person was told.
type Notice struct {
	ID       string // a name of the network
	Version  string // letters, digits, dots, dashes, underscores; at most 32
	Language string // ISO 639-1, two small letters
	Hash     exchange.Digest
}

// Record is a consent after its newest event, and that event: who did what,
// when, how. Times are Unix milliseconds, UTC.
type Record struct {
	ID exchange.ConsentID
	Scope
	// Categories the person agreed to; the empty set narrows nothing: what the
	// clause names.
	Categories exchange.CategorySet
	// RecordTypes the person agreed to, sorted, each once; none narrows nothing.
	RecordTypes []exchange.RecordType
	Notice      Notice // told before the person decided last

	Status Status
	By     By
	Method Method
	At     int64 // when it was indicated
	// Commitment binds evidence that is sealed elsewhere, see [Commit]; zero is
	// none.
	Commitment exchange.Digest
	RecordedBy exchange.SystemID // through which it came in; "" is the hub

	GivenAt   int64 // of the last give; 0 if it was never given
	ExpiresAt int64 // 0 is never
	// GivenSeq is the sequence of the ledger entry of the last give; 0 in a give
	// itself, which does not know it yet, and where there was none.
	GivenSeq uint64
}

// Expired reports whether the time of a given consent is over at now.
func (r *Record) Expired(now int64) bool { return over(r.Status, r.ExpiresAt, now) }

// Permits reports whether r permits at now, in Unix milliseconds: inside the
// ledger, ledger time.
func (r *Record) Permits(now int64) bool { return r.Status.Permits() && !r.Expired(now) }

// Reason is what the gate says about r at now.
func (r *Record) Reason(now int64) exchange.Reason {
	return statusAt(r.Status, r.ExpiresAt, now).Reason()
}

// Covers reports whether the person agreed to records of type t.
func (r *Record) Covers(t exchange.RecordType) bool {
	return len(r.RecordTypes) == 0 || slices.Contains(r.RecordTypes, t)
}

// Narrow is what of the categories of a clause the person agreed to.
func (r *Record) Narrow(clause exchange.CategorySet) exchange.CategorySet {
	if r.Categories.Empty() {
		return clause
	}
	return clause.Intersect(r.Categories)
}

func over(s Status, expiresAt, now int64) bool {
	return s == StatusExpired || s.Permits() && expiresAt != 0 && now >= expiresAt
}

// statusAt is the status with the time taken into account.
func statusAt(s Status, expiresAt, now int64) Status {
	if over(s, expiresAt, now) {
		return StatusExpired
	}
	return s
}

// Salt makes a commitment say nothing about evidence that could be guessed.
type Salt [32]byte

// NewSalt draws a salt.
func NewSalt(random io.Reader) (Salt, error) {
	var s Salt
	if _, err := io.ReadFull(random, s[:]); err != nil {
		return s, fmt.Errorf("draw salt: %w", err)
	}
	return s, nil
}

// Commit is the salted digest of a consent's evidence that stands in the
// ledger. Evidence and salt are sealed outside; once both are destroyed the
// digest proves nothing and reveals nothing.
func Commit(s Salt, evidence exchange.Payload) exchange.Digest {
	h := sha256.New()
	h.Write([]byte("raccordo/evidence/1\x00"))
	h.Write(s[:])
	h.Write(evidence.Reveal())
	return exchange.Digest(h.Sum(nil))
}

// Proves reports whether evidence is what c commits to.
func Proves(c exchange.Digest, s Salt, evidence exchange.Payload) bool {
	again := Commit(s, evidence)
	return subtle.ConstantTimeCompare(again[:], c[:]) == 1
}
