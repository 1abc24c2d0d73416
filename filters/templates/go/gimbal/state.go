package gimbal

import (
	"gimbal/internal/abi"
	"time"
	"unsafe"
)

//go:wasmimport gimbal:filter/store@0.1.0 get
func storeGet(key string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/store@0.1.0 set
func storeSet(key string, at unsafe.Pointer, length uint32, hasTTL bool, ttl uint64, to unsafe.Pointer)

//go:wasmimport gimbal:filter/store@0.1.0 delete
func storeDelete(key string) bool

//go:wasmimport gimbal:filter/store@0.1.0 increment
func storeIncrement(key string, by int64, hasTTL bool, ttl uint64, to unsafe.Pointer)

//go:wasmimport gimbal:filter/store@0.1.0 compare-and-swap
func storeSwap(key string, hasOld bool, oldAt unsafe.Pointer, oldLen uint32, hasNew bool, newAt unsafe.Pointer, newLen uint32,
	hasTTL bool, ttl uint64, to unsafe.Pointer)

//go:wasmimport gimbal:filter/store@0.1.0 keys
func storeKeys(prefix string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/limit@0.1.0 acquire
func limitAcquire(key string, permits uint64, rate float64, burst uint64, to unsafe.Pointer)

//go:wasmimport gimbal:filter/limit@0.1.0 charge
func limitCharge(key string, permits uint64, rate float64, burst uint64) uint64

// Store has values that outlive an instance, shared by all instances and versions of the filter. A lifetime of 0 is for
// ever; others count in milliseconds.
var Store store

type store struct{}

func data(bytes []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))
}

func millis(ttl time.Duration) (bool, uint64) { return ttl > 0, uint64(ttl.Milliseconds()) }

// Get is the value, if there is one.
func (store) Get(key string) ([]byte, bool) {
	storeGet(key, abi.To())
	return abi.OptionBytes()
}

// Set sets a value.
func (store) Set(key string, value []byte, ttl time.Duration) error {
	at, length := data(value)
	has, left := millis(ttl)
	storeSet(key, at, length, has, left, abi.To())
	return abi.Err()
}

// Delete removes a value; whether it was there.
func (store) Delete(key string) bool { return storeDelete(key) }

// Increment adds to a number and returns the sum; an absent one counts as 0 and gets the lifetime.
func (store) Increment(key string, by int64, ttl time.Duration) (int64, error) {
	has, left := millis(ttl)
	storeIncrement(key, by, has, left, abi.To())
	return abi.ResultLong()
}

// CompareAndSwap sets value (nil: deletes) if what is there equals expected (nil: nothing is there); whether it did.
func (store) CompareAndSwap(key string, expected, value []byte, ttl time.Duration) (bool, error) {
	oldAt, oldLen := data(expected)
	newAt, newLen := data(value)
	has, left := millis(ttl)
	storeSwap(key, expected != nil, oldAt, oldLen, value != nil, newAt, newLen, has, left, abi.To())
	return abi.ResultFlag()
}

// Keys are at most 1 000 that start with prefix, in order. Together they must not have more than 240 KiB.
func (store) Keys(prefix string) []string {
	storeKeys(prefix, abi.To())
	raw := abi.Slice[abi.Text](abi.List())
	keys := make([]string, len(raw))
	for i, key := range raw {
		keys[i] = key.String()
	}
	return keys
}

// Limit has token buckets, which fill with rate permits per second up to burst.
var Limit limit

type limit struct{}

// Acquire takes permits and returns 0, or says how long it would have to wait; then nothing is taken.
func (limit) Acquire(key string, permits uint64, rate float64, burst uint64) time.Duration {
	limitAcquire(key, permits, rate, burst, abi.To())
	wait, refused := abi.Long()
	if !refused {
		return 0
	}
	return span(wait)
}

// Charge takes permits in any case, and says how long the bucket is in debt.
func (limit) Charge(key string, permits uint64, rate float64, burst uint64) time.Duration {
	return span(limitCharge(key, permits, rate, burst))
}

// A wait for ever is the longest that there is.
func span(millis uint64) time.Duration {
	const longest = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(millis, longest)) * time.Millisecond
}
