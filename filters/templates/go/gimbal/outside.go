package gimbal

import (
	"gimbal/internal/abi"
	"runtime"
	"unsafe"
)

//go:wasmimport gimbal:filter/log@0.1.0 write
func logWrite(level uint32, text string)

//go:wasmimport gimbal:filter/metrics@0.1.0 count
func metricsCount(name string, labels unsafe.Pointer, length uint32, by uint64)

//go:wasmimport gimbal:filter/metrics@0.1.0 gauge
func metricsGauge(name string, labels unsafe.Pointer, length uint32, value float64)

//go:wasmimport gimbal:filter/metrics@0.1.0 observe
func metricsObserve(name string, labels unsafe.Pointer, length uint32, value float64)

//go:wasmimport gimbal:filter/random@0.1.0 next
func randomNext() uint64

// Log writes lines to Gimbal's log. Time is that of package time.
var Log log

type log struct{}

// Debug writes at that level.
func (log) Debug(text string) { logWrite(1, text) }

// Info writes at that level.
func (log) Info(text string) { logWrite(2, text) }

// Warn writes at that level.
func (log) Warn(text string) { logWrite(3, text) }

// Error writes at that level.
func (log) Error(text string) { logWrite(4, text) }

// Metrics are numbers for the operator's monitoring.
var Metrics metrics

type metrics struct{}

// Count adds to a counter.
func (metrics) Count(name string, by uint64, labels ...Pair) {
	list := pairs(labels)
	metricsCount(name, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list)), by)
	keep(list, labels)
}

// Gauge sets a gauge.
func (metrics) Gauge(name string, value float64, labels ...Pair) {
	list := pairs(labels)
	metricsGauge(name, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list)), value)
	keep(list, labels)
}

// Observe adds a value to a histogram.
func (metrics) Observe(name string, value float64, labels ...Pair) {
	list := pairs(labels)
	metricsObserve(name, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list)), value)
	keep(list, labels)
}

// The collector does not see addresses, so what they point to is held until the host has read it.
func keep(list []abi.Pair, labels []Pair) {
	runtime.KeepAlive(list)
	runtime.KeepAlive(labels)
}

// Random is a number for jitter and sampling, not for secrets.
func Random() uint64 { return randomNext() }
