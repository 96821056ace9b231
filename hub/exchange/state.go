package exchange

import "fmt"

// Outcome is what the gate answers (design.md section 4).
type Outcome uint8

// The outcomes. The zero value denies.
const (
	OutcomeDeny     Outcome = iota // the caller may not ask this; not a state of a record
	OutcomePermit                  // with the categories
	OutcomeWithhold                // final, accounted
	OutcomeHold                    // waits sealed for a named event until a deadline
)

func (o Outcome) String() string {
	return [...]string{"deny", "permit", "withhold", "hold"}[o&3]
}

// State is where one (record, flow) is (protocol.md section 7): exactly one at
// any moment. The numbers are those of ledger rows and fixed for ever.
type State uint8

// The states. The zero value is invalid.
const (
	StatePending           State = 1  // accepted, not decided yet
	StateWaiting           State = 2  // sealed, set aside for an event
	StateClaimed           State = 3  // about to be sent, or sent and not settled
	StateDelivered         State = 4  // the recipient has it
	StatePossiblyDelivered State = 5  // ended, and it may have it
	StateUnchanged         State = 6  // sent again unchanged by its body
	StateWithheld          State = 7  // not for this recipient
	StateExpired           State = 8  // its deadline came
	StateParked            State = 9  // set aside for a human
	StateDiscarded         State = 10 // by a human, with a reason
	StateErased            State = 11
)

var stateNames = [...]string{"", "pending", "waiting", "claimed", "delivered", "possibly_delivered",
	"unchanged", "withheld", "expired", "parked", "discarded", "erased"}

// States are all states in the order of their numbers.
func States() []State {
	out := make([]State, 0, len(stateNames)-1)
	for i := 1; i < len(stateNames); i++ {
		out = append(out, State(i))
	}
	return out
}

// IsValid reports whether s is one of the states.
func (s State) IsValid() bool { return s >= StatePending && s <= StateErased }

// Final reports whether nothing more happens by itself.
func (s State) Final() bool { return s >= StateDelivered && s != StateParked && s.IsValid() }

func (s State) String() string {
	if !s.IsValid() {
		return "invalid"
	}
	return stateNames[s]
}

// ParseState reads the text form.
func ParseState(text string) (State, error) {
	for i := 1; i < len(stateNames); i++ {
		if stateNames[i] == text {
			return State(i), nil
		}
	}
	return 0, fmt.Errorf("unknown state: %w", ErrBadID)
}

// Mark says what may have left (protocol.md 5.5). It only rises.
type Mark uint8

// The marks, in rising order.
const (
	MarkNo       Mark = 0 // no byte left
	MarkPossibly Mark = 1 // a first byte may have left
	MarkYes      Mark = 2 // the recipient answered that it has it
)

func (m Mark) String() string { return [...]string{"no", "possibly", "yes", "yes"}[m&3] }

// Raise is the higher of both.
func (m Mark) Raise(o Mark) Mark { return max(m, o) }

// End is the state a row ends in when it may not be sent (any more): withheld
// and expired need the mark no, otherwise the record possibly arrived.
func (m Mark) End(wanted State) State {
	if m != MarkNo && (wanted == StateWithheld || wanted == StateExpired) {
		return StatePossiblyDelivered
	}
	return wanted
}
