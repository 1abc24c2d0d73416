package abi

import (
	"errors"
	"structs"
	"unsafe"
)

// Out is where the host writes what does not fit into one number: first which case it is, then the value, at 4 or at 8.
type Out struct {
	_    structs.HostLayout
	Case uint8
	_    [3]uint8
	Four Text
	_    [4]uint8
}

// Eight is Out with a number of eight bytes.
type Eight struct {
	_     structs.HostLayout
	Case  uint8
	_     [7]uint8
	Value uint64
}

// The one place for results: calls do not overlap.
var out struct {
	_     structs.HostLayout
	words [4]uint64
}

// To is that place, for the host to write to.
func To() unsafe.Pointer {
	at = begin
	return unsafe.Pointer(&out)
}

func four() *Out    { return (*Out)(unsafe.Pointer(&out)) }
func eight() *Eight { return (*Eight)(unsafe.Pointer(&out)) }

// Plain reads a text.
func Plain() string { return (*Text)(unsafe.Pointer(&out)).String() }

// List reads a list.
func List() Text { return *(*Text)(unsafe.Pointer(&out)) }

// Option reads a text that may be absent.
func Option() (string, bool) {
	if four().Case == 0 {
		return "", false
	}
	return four().Four.String(), true
}

// OptionBytes reads bytes that may be absent.
func OptionBytes() ([]byte, bool) {
	if four().Case == 0 {
		return nil, false
	}
	return four().Four.Bytes(), true
}

// Number reads a number of four bytes that may be absent.
func Number() (uint32, bool) { return uint32(four().Four.At), four().Case != 0 }

// Long reads a number of eight bytes, and whether the first case is it.
func Long() (uint64, bool) { return eight().Value, eight().Case != 0 }

// Err reads an error, if it is one.
func Err() error {
	if four().Case == 0 {
		return nil
	}
	return errors.New(four().Four.String())
}

// Result reads a number or an error.
func Result() (uint32, error) { return uint32(four().Four.At), Err() }

// ResultFlag reads a truth or an error.
func ResultFlag() (bool, error) { return four().Four.At&0xff != 0, Err() }

// ResultBytes reads bytes or an error.
func ResultBytes() ([]byte, error) {
	if err := Err(); err != nil {
		return nil, err
	}
	return four().Four.Bytes(), nil
}

// ResultLong reads a number of eight bytes or an error, whose text lies at 8, too.
func ResultLong() (int64, error) {
	if eight().Case == 0 {
		return int64(eight().Value), nil
	}
	return 0, errors.New((*Text)(unsafe.Pointer(&eight().Value)).String())
}
