package verify

import (
	"fmt"

	"raccordo/hub/exchange"
)

// MaxFindings bounds how many findings a report lists; the others are counted.
const MaxFindings = 1000

// Report is what a verification found.
type Report struct {
	Origin   string          `json:"origin"`
	Size     uint64          `json:"size"` // of the checkpoint
	Root     exchange.Digest `json:"root"` // recomputed from the leaves
	SignedBy string          `json:"signed_by"`
	Entries  uint64          `json:"entries"`
	Rows     uint64          `json:"rows"`
	Claims   uint64          `json:"claims"` // disclosures claimed, each attempt that was a claim or renewal
	Open     uint64          `json:"open"`   // claims not settled at the end
	Consents uint64          `json:"consents"`

	Findings []Finding `json:"findings"`
	// More counts findings beyond [MaxFindings].
	More int `json:"more,omitempty"`
	// NotProved says what a ledger without findings still does not prove.
	NotProved []string `json:"not_proved"`
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Findings) == 0 && r.More == 0 }

// Whole is the sequence or row of a finding that concerns the ledger, or the
// entry, as a whole.
const Whole = -1

// Finding is one thing that is not as it must be. Detail names entries, rules
// and names of the network, no person.
type Finding struct {
	Seq    int64  `json:"seq"` // [Whole] if it concerns the whole ledger
	Row    int    `json:"row"` // from 0; [Whole] if it concerns the whole entry
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
}

func (f Finding) String() string {
	switch {
	case f.Seq == Whole:
		return fmt.Sprintf("ledger: %s: %s", f.Rule, f.Detail)
	case f.Row == Whole:
		return fmt.Sprintf("entry %d: %s: %s", f.Seq, f.Rule, f.Detail)
	}
	return fmt.Sprintf("entry %d row %d: %s: %s", f.Seq, f.Row, f.Rule, f.Detail)
}

// The rules a finding can name.
const (
	RuleExport     = "export"     // a line or file that is not of an export
	RuleSequence   = "sequence"   // entries do not follow each other
	RuleLeaf       = "leaf"       // a header that is no header
	RuleRows       = "rows"       // rows are not those of the header
	RuleFact       = "fact"       // the fact is not that of the header, or malformed
	RuleRoot       = "root"       // the leaves do not make the signed root
	RuleSignature  = "signature"  // no trusted key signed the checkpoint
	RuleOrigin     = "origin"     // another ledger
	RuleKey        = "key"        // a signing key not announced under the one before
	RuleOutside    = "outside"    // cut or rewritten since the outside checkpoint
	RuleTime       = "time"       // ledger time went back
	RuleID         = "id"         // an entry id used twice
	RuleShape      = "shape"      // an entry has what its kind has not, or lacks what it must have
	RuleNetwork    = "network"    // not under the network in force
	RuleRefers     = "refers"     // answers no open claim of its system
	RuleRecord     = "record"     // a record's rows contradict each other
	RuleState      = "state"      // a state that cannot follow the one before
	RuleMark       = "mark"       // a mark fell, or an end that does not fit it
	RuleUnsettled  = "unsettled"  // a settle that leaves rows of its claim open
	RuleLane       = "lane"       // ranges of a lane that overlap
	RuleStopped    = "stopped"    // claimed while disclosures were stopped
	RuleFlow       = "flow"       // flow or clause not in force, or of another recipient
	RuleAgreement  = "agreement"  // the agreement was not in force
	RuleRole       = "role"       // the role was not held
	RuleConsent    = "consent"    // no consent in force before the claim
	RuleDossier    = "dossier"    // no dossier open before the claim
	RuleCategories = "categories" // more than clause and consent permit
	RuleLink       = "link"       // a link that cannot be
)

func notProved() []string {
	return []string{
		"that conditions (CEL) of flows and clauses were true: they are evaluated on payloads, which the ledger does not hold",
		"what the payloads held, and that no more left the hub than the categories of the rows",
		"that the rows of a record name every person it is about, and that what is called a thing is no person",
		"which identifier a subject id stands for, and that linked ids are one person",
		"that consents, dossiers, roles and signatures were true when they were recorded",
		"that the digest of a network is that of the files it was loaded from",
		"that every record accepted was accounted for: ranges of a lane that held nothing for a recipient leave no entry",
		"that the recipient has, or has not, what a row says it has",
		"the time outside the hub: ledger time is the hub's clock, which never goes back",
	}
}
