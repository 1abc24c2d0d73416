// Package abi is what lies between Go and the host: where the host puts texts, and how lists lie in memory.
//
// The host calls cabi_realloc for room before it hands something over, and may not be called itself meanwhile. Go's heap
// may collect whenever something is allocated, which asks for the time, which is a call to the host. So the room comes
// from an arena that is there beforehand, and what arrives is copied to the heap before anything else happens.
package abi

import (
	"strings"
	"unsafe"
)

// Bytes of the arena that every call begins with: the longest text or list that the host hands over, but for bodies.
const usual = 256 << 10

// Usual bytes are not the heap's, so a filter that sees no long bodies never allocates for them.
var fixed [usual]byte

// The arena in use, where it is free from, and where it ends. `large` keeps one on the heap alive.
var (
	large      []byte
	begin, end uintptr
	at         uintptr
)

func init() { Rewind() }

// Rewind frees the arena; whatever was in it has been copied.
func Rewind() {
	if begin == 0 {
		begin = uintptr(unsafe.Pointer(&fixed[0]))
		end = begin + usual
	}
	at = begin
}

// Reserve makes room for a body of so many bytes until Release.
func Reserve(bytes int) {
	if bytes > usual-16 {
		large = make([]byte, bytes+16)
		begin = uintptr(unsafe.Pointer(&large[0]))
		end = begin + uintptr(len(large))
	}
	at = begin
}

// Release goes back to the usual arena.
func Release() {
	if large != nil {
		large, begin = nil, 0
	}
	Rewind()
}

// Must not touch the heap nor grow the stack. A text beyond the arena is written to address 0 and ends the call.
//
//go:wasmexport cabi_realloc
//go:nosplit
func realloc(_, _, align, bytes uint32) uint32 {
	from := (at + uintptr(align) - 1) &^ (uintptr(align) - 1)
	if from+uintptr(bytes) > end {
		*(*byte)(nil) = 0
	}
	at = from + uintptr(bytes)
	return uint32(from)
}

// Address is a pointer as the host knows it. The collector does not see it: keep what it points to elsewhere.
type Address uint32

// Pointer of a thing that stays where it is while the host reads it.
func Pointer(to unsafe.Pointer) Address { return Address(uintptr(to)) }

// Text is a string, or a list of bytes, as it lies in memory.
type Text struct {
	At  Address
	Len uint32
}

// TextOf shows a Go string to the host.
func TextOf(text string) Text {
	return Text{Pointer(unsafe.Pointer(unsafe.StringData(text))), uint32(len(text))}
}

// BytesOf shows bytes to the host.
func BytesOf(bytes []byte) Text {
	return Text{Pointer(unsafe.Pointer(unsafe.SliceData(bytes))), uint32(len(bytes))}
}

func (t Text) raw() string {
	if t.Len == 0 {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Pointer(uintptr(t.At))), int(t.Len))
}

// String is a copy on Go's heap.
func (t Text) String() string { return strings.Clone(t.raw()) }

// Bytes is a copy on Go's heap.
func (t Text) Bytes() []byte { return []byte(t.raw()) }

// Slice is a list in memory, as it is: what it holds must be copied out.
func Slice[T any](list Text) []T {
	if list.Len == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(uintptr(list.At))), int(list.Len))
}

// ListOf shows a slice to the host.
func ListOf[T any](list []T) Text {
	return Text{Pointer(unsafe.Pointer(unsafe.SliceData(list))), uint32(len(list))}
}

// Pair is a name and its value.
type Pair struct{ Name, Value Text }
