package exchange

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Names of things in a network are lower_snake_case: a letter, then letters,
// digits and underscores, at most 63 in all. They are chosen by people who
// write the network and never hold personal data, so errors may show them.
type (
	// BodyID names a participating organisation.
	BodyID string
	// OfficeID names an office of a body.
	OfficeID string
	// SystemID names one software system of a body, with its own credentials.
	SystemID string
	// FlowID names one active path of a record type to a recipient.
	FlowID string
	// ClauseID names what an agreement permits; unique in a network.
	ClauseID string
	// AgreementID names a signed agreement.
	AgreementID string
	// PurposeID names a purpose of processing.
	PurposeID string
	// RecordType names a canonical kind of record, e.g. service_request.
	RecordType string
	// FormatID names a body's own shape of a record type.
	FormatID string
	// MappingID names a declared transformation.
	MappingID string
	// Territory names one of the areas of the network.
	Territory string
	// Role is what a body does in a territory; rights hang on it.
	Role string
)

// ValidName reports whether s is a well-formed name of a network.
func ValidName(s string) bool {
	if len(s) == 0 || len(s) > 63 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// ParseName validates s and gives it the wanted type:
// ParseName[FlowID]("bed_livorno").
func ParseName[T ~string](s string) (T, error) {
	if !ValidName(s) {
		return "", fmt.Errorf("name must match ^[a-z][a-z0-9_]{0,62}$: %w", ErrBadID)
	}
	return T(s), nil
}

// Number is the short form of a flow's or clause's name in ledger rows: the
// first four bytes of a digest of its kind and name, so that every replica
// derives the same one without asking. `raccordo check` refuses a network in
// which two names of a kind collide; adoption entries spell the pairs out.
type Number uint32

// FlowNumber is the number of f in ledger rows.
func FlowNumber(f FlowID) Number { return number("flow", string(f)) }

// ClauseNumber is the number of c in ledger rows.
func ClauseNumber(c ClauseID) Number { return number("clause", string(c)) }

func number(kind, name string) Number {
	sum := sha256.Sum256([]byte(kind + "\x00" + name))
	n := Number(binary.BigEndian.Uint32(sum[:4]))
	if n == 0 { // zero means "none" in a row
		n = 1
	}
	return n
}

// The roles of the built-in vocabulary (design.md section 2).
const (
	RoleSocialService     Role = "social_service"
	RoleRegistryOffice    Role = "registry_office"
	RoleEmploymentService Role = "employment_service"
	RoleBenefitPayer      Role = "benefit_payer"
	RoleHealthService     Role = "health_service"
	RoleDeskOperator      Role = "desk_operator"
	RoleServiceProvider   Role = "service_provider"
	RoleNetworkManager    Role = "network_manager"
	RoleObserver          Role = "observer"
)

// IsValid reports whether r is one of the known roles.
func (r Role) IsValid() bool {
	switch r {
	case RoleSocialService, RoleRegistryOffice, RoleEmploymentService, RoleBenefitPayer,
		RoleHealthService, RoleDeskOperator, RoleServiceProvider, RoleNetworkManager, RoleObserver:
		return true
	}
	return false
}

// Class is a stream class (protocol.md 2.5): a property of (system, record
// type) in the network, never of a request.
type Class uint8

// The two classes; the zero value is invalid.
const (
	ClassPrompt Class = 1 // decided and sent as soon as it arrives
	ClassBulk   Class = 2 // exports; never in the way of prompt records
)

func (c Class) String() string {
	switch c {
	case ClassPrompt:
		return "prompt"
	case ClassBulk:
		return "bulk"
	}
	return "invalid"
}

// ParseClass reads "prompt" or "bulk".
func ParseClass(s string) (Class, error) {
	switch s {
	case "prompt":
		return ClassPrompt, nil
	case "bulk":
		return ClassBulk, nil
	}
	return 0, fmt.Errorf("class must be prompt or bulk: %w", ErrBadID)
}
