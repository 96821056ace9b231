// Package keystest is the conformance suite of keyrings: keys/local and
// keys/vault call it in three lines, and both owe everything it checks.
package keystest
