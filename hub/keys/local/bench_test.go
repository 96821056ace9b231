package local

import (
	"testing"

	"raccordo/hub/keys"
)

func benchKeyring(b *testing.B) *Keyring {
	k, err := Open(options(b.TempDir() + "/keyring"))
	if err != nil {
		b.Fatal(err)
	}
	return k
}

func BenchmarkSeal(b *testing.B) {
	k := benchKeyring(b)
	plain, aad, dst := make([]byte, 1500), make([]byte, 60), make([]byte, 0, 2048)
	b.SetBytes(1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.AppendSeal(dst, keys.PlaceStream, day, plain, aad); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSealParallel(b *testing.B) {
	k := benchKeyring(b)
	plain, aad := make([]byte, 1500), make([]byte, 60)
	b.SetBytes(1500)
	b.RunParallel(func(pb *testing.PB) {
		dst := make([]byte, 0, 2048)
		for pb.Next() {
			_, _ = k.AppendSeal(dst, keys.PlaceStream, day, plain, aad)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	k := benchKeyring(b)
	aad, dst := make([]byte, 60), make([]byte, 0, 2048)
	sealed, err := k.Seal(keys.PlaceStream, day, make([]byte, 1500), aad)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1500)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.AppendOpen(dst, sealed, aad); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMAC(b *testing.B) {
	k := benchKeyring(b)
	part := make([]byte, 48)
	b.ReportAllocs()
	for b.Loop() {
		k.MAC("record", part, part)
	}
}

func BenchmarkDigests(b *testing.B) {
	k := benchKeyring(b)
	part := make([]byte, 48)
	b.ReportAllocs()
	for b.Loop() {
		k.Digests(part)
	}
}
