// Package embedded is the stream of a hub without other services: a durable
// segment log in the data directory, with a Watermill publisher and subscriber
// on top.
//
// It guarantees:
//
//   - A message is acknowledged, and visible to a reader, only when it is on
//     disk (fdatasync): acknowledged means it survives a power cut.
//   - All messages of one Publish are one all-or-nothing append. Offsets are
//     sequence numbers given by the one writer of the topic, without holes.
//   - A reader sees every message of its lanes in order, once, and waits for
//     the next without polling. The next message is withheld until Ack; Nack
//     delivers the same again.
//   - At open only a torn tail is cut: bytes after which no record of the same
//     generation follows. Anything else that does not fit (checksum, sequence,
//     missing segment) quarantines the topic, loudly: it serves what lies
//     before the place and refuses to read past it and to accept
//     (protocol.md 3.4).
//   - After an error of write or fsync nothing more is accepted, and the fsync
//     is never repeated: kernels mark pages clean after a failed one. Opening
//     again reads the truth, writes the last record anew and syncs it.
//
// It refuses: a second process on the directory, a directory of another hub,
// another number of lanes while messages are kept, messages over the bound of
// a frame, and anything beyond MaxBytes (before a byte is written).
//
// # On disk
//
//	lock                    held exclusively while open
//	meta                    hub id, number of lanes, version of the layout
//	topics/TOPIC/           one directory a topic, made whole before it appears
//	    N.seg               segments, numbered without a gap
//	    start               number of the first segment kept (written by Trim)
//	    spare-N             zero-filled or recycled segments for later use
//	    group-NAME          position of a consumer group
//
// A segment is a header of 4 KiB and records. A record is what one group commit
// wrote: one or more whole Publish calls under one CRC-32C. Pages of a commit
// reach the disk in any order, so that a smaller unit could be found whole
// behind a torn one and look like damage. Segments are filled with zeros in
// advance, so that a commit changes no file system metadata. A recycled one keeps
// its old bytes; each life of a segment file has a random generation, which
// every record repeats, so that old bytes are never taken for new ones.
//
// Behind the last commit stands a mark, written when the writer falls idle and
// not synced: it costs nothing, and lets a damaged last record be told from a
// torn one after anything but a power cut within the write-back interval.
//
// What it does not detect: removal of a damaged last record that was never
// followed by anything, and a restore of older files. Whoever keeps cursors
// compares them with [Log.Bounds] for that (protocol.md 3.4).
package embedded
