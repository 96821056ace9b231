package verify_test

import (
	"testing"
	"time"

	"raccordo/consent"
	"raccordo/hub/exchange"
	"raccordo/hub/keys"
	"raccordo/hub/ledger"
	"raccordo/hub/ledger/verify"
)

// TestLies writes ledgers that are whole and signed but in which something was
// done that may not be done. Each must be found, at its entry and row, by its
// rule, and nothing else.
func TestLies(t *testing.T) {
	anna, bruno := person(1), person(2)
	possibly := state(exchange.StateClaimed, exchange.ReasonPermitted, exchange.MarkPossibly)
	for name, c := range map[string]struct {
		rule string
		lie  func(b *book) (seq uint64, row int) // row -1: the entry
	}{
		"claim without consent": {verify.RuleConsent, func(b *book) (uint64, int) {
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna)), 0
		}},
		"claim on a consent that comes later": {verify.RuleConsent, func(b *book) (uint64, int) {
			seq := b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(3)))
			b.give(anna)
			return seq, 0
		}},
		"claim after withdrawal": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, r := b.give(anna)
			b.withdraw(given, r)
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(given))), 0
		}},
		"claim naming the withdrawal": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, r := b.give(anna)
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(b.withdraw(given, r)))), 0
		}},
		"renewal after withdrawal": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, r := b.give(anna)
			row := b.row(health, anna, basis(given))
			claim := b.claim(clinic, lanes(-1, 1), row)
			b.withdraw(given, r)
			return b.renew(clinic, claim, lanes(-1, 1), row), 0
		}},
		"claim after expiry": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, _ := b.give(anna, func(r *consent.Record) { r.ExpiresAt = r.At + 1000 })
			b.clock.pass(time.Second)
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(given))), 0
		}},
		"claim on another person's consent": {verify.RuleConsent, func(b *book) (uint64, int) {
			b.give(anna)
			other, _ := b.give(bruno)
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(other))), 0
		}},
		"claim of a person linked no longer": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, _ := b.give(anna)
			b.join(anna, bruno, true)
			b.join(anna, bruno, false)
			return b.claim(clinic, lanes(-1, 1), b.row(health, bruno, basis(given))), 0
		}},
		"claim after a withdrawal under a linked id": {verify.RuleConsent, func(b *book) (uint64, int) {
			mine, _ := b.give(anna)
			other, r := b.give(bruno)
			b.withdraw(other, r)
			b.join(anna, bruno, true)
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(mine))), 0
		}},
		"claim on a consent for another purpose": {verify.RuleConsent, func(b *book) (uint64, int) {
			b.give(anna)
			other, _ := b.give(anna, func(r *consent.Record) { r.ID[1], r.Purpose = 9, "purpose_else" })
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(other))), 0
		}},
		"claim on a consent overtaken by another": {verify.RuleConsent, func(b *book) (uint64, int) {
			old, _ := b.give(anna)
			b.give(anna, func(r *consent.Record) { r.Status = consent.StatusRenewed })
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(old))), 0
		}},
		"claim on a consent for another record type": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, _ := b.give(anna, func(r *consent.Record) { r.RecordTypes = []exchange.RecordType{"social_benefit"} })
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(given))), 0
		}},
		"claim in spite of an alias' refusal": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, _ := b.give(anna)
			b.give(bruno, func(r *consent.Record) { r.Status, r.GivenAt = consent.StatusRefused, 0 })
			row := b.row(health, anna, basis(given))
			alias := row
			alias.Subject, alias.Part, alias.Basis = bruno, exchange.PartAlias, 0
			return b.claim(clinic, lanes(-1, 1), row, alias), 1
		}},
		"an affected person who did not consent": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, _ := b.give(anna)
			row := b.row(health, anna, basis(given))
			child := row
			child.Subject, child.Part = bruno, exchange.PartAffected
			return b.claim(clinic, lanes(-1, 1), row, child), 1
		}},
		"a consent that changes its person": {verify.RuleConsent, func(b *book) (uint64, int) {
			given, r := b.give(anna)
			r.Subject = bruno
			return b.withdraw(given, r), verify.Whole
		}},
		"an event that invents its give": {verify.RuleConsent, func(b *book) (uint64, int) {
			_, r := b.give(anna)
			r.Status, r.GivenSeq = consent.StatusExpired, 1
			return b.event(r), verify.Whole
		}},
		"more than the clause permits": {verify.RuleCategories, func(b *book) (uint64, int) {
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna, func(r *exchange.Row) { r.Categories = exchange.NewCategorySet(1, 4) })), 0
		}},
		"more than the consent permits": {verify.RuleCategories, func(b *book) (uint64, int) {
			given, _ := b.give(anna, func(r *consent.Record) { r.Categories = narrow })
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, basis(given), func(r *exchange.Row) { r.Categories = exchange.NewCategorySet(1, 2) })), 0
		}},
		"claim without dossier": {verify.RuleDossier, func(b *book) (uint64, int) {
			return b.claim(box, lanes(-1, 1), b.row(cases, anna)), 0
		}},
		"claim on a closed dossier": {verify.RuleDossier, func(b *book) (uint64, int) {
			on := b.open(anna)
			b.open(anna, func(f *exchange.DossierFact) { f.Closed = true })
			return b.claim(box, lanes(-1, 1), b.row(cases, anna, onCase(on))), 0
		}},
		"claim on a dossier that ran out": {verify.RuleDossier, func(b *book) (uint64, int) {
			on := b.open(anna, func(f *exchange.DossierFact) { f.Until = b.clock.Now().UnixMilli() + 1500 })
			b.clock.pass(time.Second)
			return b.claim(box, lanes(-1, 1), b.row(cases, anna, onCase(on))), 0
		}},
		"claim on another person's dossier": {verify.RuleDossier, func(b *book) (uint64, int) {
			return b.claim(box, lanes(-1, 1), b.row(cases, anna, onCase(b.open(bruno)))), 0
		}},
		"claim on another body's dossier": {verify.RuleDossier, func(b *book) (uint64, int) {
			return b.claim(box, lanes(-1, 1), b.row(cases, anna, onCase(b.open(anna, func(f *exchange.DossierFact) { f.Body = "social" })))), 0
		}},
		"claim on a dossier in another capacity": {verify.RuleDossier, func(b *book) (uint64, int) {
			return b.claim(box, lanes(-1, 1), b.row(cases, anna, onCase(b.open(anna, func(f *exchange.DossierFact) { f.Capacity = "tutor" })))), 0
		}},
		"a dossier that changes its person": {verify.RuleDossier, func(b *book) (uint64, int) {
			b.open(anna)
			return b.open(bruno, func(f *exchange.DossierFact) { f.Dossier[0] = anna[0] }), verify.Whole
		}},
		"claim while stopped": {verify.RuleStopped, func(b *book) (uint64, int) {
			b.fact(exchange.KindStop, exchange.StopFact{Stopped: true, Reason: "drill"})
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"renewal while stopped": {verify.RuleStopped, func(b *book) (uint64, int) {
			row := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), row)
			b.fact(exchange.KindStop, exchange.StopFact{Stopped: true, Reason: "drill"})
			return b.renew(sink, claim, lanes(-1, 1), row), 0
		}},
		"claim after the agreement ran out": {verify.RuleAgreement, func(b *book) (uint64, int) {
			b.clock.pass(110 * 24 * time.Hour)
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim after the agreement was ended": {verify.RuleAgreement, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Agreements[0].Ended = "2026-03-13" })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim before a party signed": {verify.RuleAgreement, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Agreements[0].Signed[1].On = "" })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim on the eve of a signature": {verify.RuleAgreement, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Agreements[0].Signed[1].On = "2026-03-15" })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim for a body that is no party": {verify.RuleAgreement, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Agreements[0].Signed = f.Agreements[0].Signed[:2] })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim for a role no longer held": {verify.RuleRole, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Bodies[1].Roles[0].Until = "2026-03-01" })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim for a role held elsewhere": {verify.RuleRole, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Bodies[1].Roles[0].Territory = "area_south" })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim for a role the clause does not name": {verify.RuleRole, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Clauses[1].To = []exchange.Role{exchange.RoleObserver} })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim for a system that is not the body's": {verify.RuleRole, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Bodies[1].Systems = []exchange.SystemID{} })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim through a flow that ended": {verify.RuleFlow, func(b *book) (uint64, int) {
			b.readopt(func(f *exchange.AdoptionFact) { f.Flows = f.Flows[:1] })
			return b.claim(sink, lanes(-1, 1), b.row(plain, anna)), 0
		}},
		"claim on another flow's clause": {verify.RuleFlow, func(b *book) (uint64, int) {
			return b.claim(clinic, lanes(-1, 1), b.row(health, anna, func(r *exchange.Row) {
				given, _ := b.give(anna)
				r.Clause, r.Basis = clauseOf(plain), given
			})), 0
		}},
		"settle twice": {verify.RuleRefers, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			b.settle(sink, claim, lanes(-1, 1), with(one, delivered))
			return b.settle(sink, claim, lanes(-1, 1), with(one, delivered)), verify.Whole
		}},
		"settle of what is no claim": {verify.RuleRefers, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), one)
			return b.settle(sink, 1, lanes(-1, 1), with(one, delivered)), verify.Whole
		}},
		"settle of another system's claim": {verify.RuleRefers, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			return b.settle(clinic, claim, lanes(-1, 1), with(one, delivered)), verify.Whole
		}},
		"settle of a row that is another claim's": {verify.RuleState, func(b *book) (uint64, int) {
			one, two := b.row(plain, anna), b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			b.settle(sink, claim, lanes(-1, 1), with(one, state(exchange.StateWaiting, exchange.ReasonAwaitingRetry, exchange.MarkNo)))
			b.claim(sink, nil, one)
			claim = b.claim(sink, lanes(1, 2), two)
			return b.settle(sink, claim, lanes(1, 2), with(two, delivered), with(one, delivered)), 1
		}},
		"settle that forgets a row": {verify.RuleUnsettled, func(b *book) (uint64, int) {
			one, two := b.row(plain, anna), b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one, two)
			return b.settle(sink, claim, lanes(-1, 1), with(one, delivered)), verify.Whole
		}},
		"a record not sent left behind": {verify.RuleUnsettled, func(b *book) (uint64, int) {
			one, two := b.row(plain, anna), b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one, two)
			return b.settle(sink, claim, lanes(-1, 1), with(one, delivered), with(two, unsent)), verify.Whole
		}},
		"acknowledged without a fetch": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(cases, anna, onCase(b.open(anna)))
			b.claim(box, lanes(-1, 1), with(one, fetchable))
			return b.settle(box, 0, nil, with(one, delivered)), 0
		}},
		"refused late": {verify.RuleState, func(b *book) (uint64, int) {
			on := b.open(anna)
			one := b.row(cases, anna, onCase(on))
			b.claim(box, lanes(-1, 1), with(one, fetchable))
			b.claim(box, nil, with(one, onCase(on), possibly))
			b.settle(box, 0, nil, with(one, state(exchange.StateWaiting, exchange.ReasonAwaitingRetry, exchange.MarkPossibly)))
			return b.settle(box, 0, nil, with(one, parked)), 0
		}},
		"what is sent acknowledged like a fetch": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), one)
			return b.settle(sink, 0, nil, with(one, delivered)), 0
		}},
		"claimed after withheld": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), with(one, withheld))
			return b.claim(sink, nil, one), 0
		}},
		"decided as new while it waits": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), with(one, held))
			return b.claim(sink, lanes(1, 2), one), 0
		}},
		"expired while it is being sent": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), one)
			return b.expire(sink, with(one, state(exchange.StateExpired, exchange.ReasonHoldExpired, exchange.MarkNo))), 0
		}},
		"delivered out of nothing": {verify.RuleState, func(b *book) (uint64, int) {
			return b.operate("discard", with(b.row(plain, anna), state(exchange.StateDiscarded, exchange.ReasonDiscarded, exchange.MarkNo))), 0
		}},
		"replayed by a discard": {verify.RuleState, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), with(one, state(exchange.StateParked, exchange.ReasonMappingFailed, exchange.MarkNo)))
			return b.operate("discard", with(one, state(exchange.StateWaiting, exchange.ReasonReplayed, exchange.MarkNo))), 0
		}},
		"the mark falls": {verify.RuleMark, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			b.settle(sink, claim, lanes(-1, 1), with(one, state(exchange.StateWaiting, exchange.ReasonAwaitingRetry, exchange.MarkPossibly)))
			return b.claim(sink, nil, one), 0
		}},
		"withheld although it may have left": {verify.RuleMark, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			b.renew(sink, claim, lanes(-1, 1), with(one, possibly, func(r *exchange.Row) { r.Categories = narrow }))
			return b.renew(sink, claim, lanes(-1, 1), with(one, state(exchange.StateWithheld, exchange.ReasonFlowEnded, exchange.MarkPossibly))), 0
		}},
		"delivered with no answer": {verify.RuleMark, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 1), one)
			return b.settle(sink, claim, lanes(-1, 1), with(one, state(exchange.StateDelivered, exchange.ReasonDelivered, exchange.MarkPossibly))), 0
		}},
		"a record twice in an entry": {verify.RuleRecord, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), with(one, unsent, held))
			return b.claim(sink, nil, with(one, held), with(one, held)), 1
		}},
		"another principal than before": {verify.RuleRecord, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			b.claim(sink, lanes(-1, 1), with(one, held))
			one.Subject = bruno
			return b.claim(sink, nil, one), 0
		}},
		"an affected person claimed with a principal who is not": {verify.RuleRecord, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			two := one
			two.Part, two.Subject = exchange.PartAffected, bruno
			return b.claim(sink, lanes(-1, 1), with(one, withheld), two), 1
		}},
		"ranges that overlap": {verify.RuleLane, func(b *book) (uint64, int) {
			b.claim(sink, lanes(-1, 5), with(b.row(plain, anna), withheld))
			return b.claim(sink, lanes(4, 6), with(b.row(plain, anna), withheld)), verify.Whole
		}},
		"a range decided while its claim is open": {verify.RuleLane, func(b *book) (uint64, int) {
			b.claim(sink, lanes(-1, 5), b.row(plain, anna))
			return b.claim(sink, lanes(5, 6), with(b.row(plain, anna), withheld)), verify.Whole
		}},
		"a settle of another range": {verify.RuleLane, func(b *book) (uint64, int) {
			one := b.row(plain, anna)
			claim := b.claim(sink, lanes(-1, 5), one)
			return b.settle(sink, claim, lanes(-1, 6), with(one, delivered)), verify.Whole
		}},
		"a range backwards": {verify.RuleLane, func(b *book) (uint64, int) {
			return b.claim(sink, lanes(5, 5), with(b.row(plain, anna), withheld)), verify.Whole
		}},
		"a spill over an open range": {verify.RuleLane, func(b *book) (uint64, int) {
			b.claim(sink, lanes(-1, 5), b.row(plain, anna))
			return b.draft(ledger.Draft{Kind: exchange.KindSpill, System: sink, Lanes: lanes(2, 9)}), verify.Whole
		}},
		"a link twice": {verify.RuleLink, func(b *book) (uint64, int) {
			b.join(anna, bruno, true)
			return b.join(anna, bruno, true), verify.Whole
		}},
		"a link of a person with itself": {verify.RuleLink, func(b *book) (uint64, int) {
			return b.join(anna, anna, true), verify.Whole
		}},
		"a second origin": {verify.RuleOrigin, func(b *book) (uint64, int) {
			return b.fact(exchange.KindOrigin, exchange.OriginFact{Hub: b.store.Hub(), Origin: origin, Key: b.keys[0].public}), verify.Whole
		}},
		"a fact with free text": {verify.RuleFact, func(b *book) (uint64, int) {
			return b.draft(ledger.Draft{Kind: exchange.KindStop, Fact: []byte(`{"stopped":false,"reason":"x","note":"y"}`)}), verify.Whole
		}},
		"a clause with another's number": {verify.RuleFact, func(b *book) (uint64, int) {
			return b.readopt(func(f *exchange.AdoptionFact) { f.Clauses[1].Number++ }), verify.Whole
		}},
		"a key announced by nobody": {verify.RuleKey, func(b *book) (uint64, int) {
			k := newKey(t, origin)
			ann, _ := keys.Announce(k.signer, k.public)
			return b.fact(exchange.KindSigningKey, exchange.KeyFact{Key: k.public, Announcement: ann}), verify.Whole
		}},
		"a key that is not the one announced": {verify.RuleKey, func(b *book) (uint64, int) {
			k, other := newKey(t, origin), newKey(t, origin)
			ann, _ := keys.Announce(b.keys[0].signer, other.public)
			return b.fact(exchange.KindSigningKey, exchange.KeyFact{Key: k.public, Announcement: ann}), verify.Whole
		}},
		"rows in a consent": {verify.RuleShape, func(b *book) (uint64, int) {
			given, r := b.give(anna)
			r.Status, r.GivenSeq = consent.StatusWithdrawn, given
			enc, _ := consent.AppendEvent(nil, &r)
			return b.draft(ledger.Draft{Kind: exchange.KindConsent, Fact: enc, Rows: []exchange.Row{b.row(plain, anna)}}), verify.Whole
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := began(t)
			seq, row := c.lie(b)
			r := b.verify()
			if len(r.Findings) == 0 {
				t.Fatal("not found")
			}
			f := r.Findings[0]
			if f.Rule != c.rule || f.Seq != int64(seq) || f.Row != row {
				t.Errorf("found %v, want %s at entry %d row %d", f, c.rule, seq, row)
			}
			for _, x := range r.Findings {
				if x.Seq != int64(seq) && x.Seq != verify.Whole {
					t.Errorf("an honest entry is accused: %v", x)
				}
			}
		})
	}
}

// readopt brings a changed network into force.
func (b *book) readopt(change func(*exchange.AdoptionFact)) uint64 {
	b.t.Helper()
	f := network()
	f.Network[0]++
	change(&f)
	return b.adopt(f)
}
