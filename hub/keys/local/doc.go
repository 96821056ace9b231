// Package local keeps the hub's keys in one file: the data keys that seal
// payloads by day and place, the stable identification key, the versions of the
// person directory's digest key, the Ed25519 keys that sign checkpoints, and
// the RSA keys that sign vouchers.
//
// It guarantees that a method which returns without error has made its change
// durable (the file is written whole under another name, synced, renamed, and
// the directory synced); that a file which is damaged, of another version, of
// another hub, readable by others, or changed by somebody else meanwhile is
// refused with an error and never replaced by a new keyring; that Seal and Open
// take no lock and touch no disk, except at the first seal of a day and place;
// and that no key is ever printed.
//
// What it does not do, said plainly: the keys are not encrypted in the file.
// They are protected by its permissions (0600), by the operating system and by
// an encrypted disk, if there is one. Destroying a data key removes it from the
// file; the blocks of the earlier file may stay readable on the medium until
// they are overwritten, and old backups of the file hold it still. Who needs
// more than that uses keys/vault. A backup of the keyring must be kept apart
// from a backup of the data.
//
// One process owns the file. A second writer is noticed and refused, not
// merged.
package local
