// Package connections makes a filter see connections come and go.
package connections

import (
	"gimbal/internal/abi"
	"structs"
	"unsafe"
)

var (
	connected    func() error
	disconnected = func() {}
)

// Handle says what is called for every connection before its first command, and when it has ended (nil: nothing). An
// error closes the connection; its text goes to the log.
func Handle(connect func() error, disconnect func()) {
	connected = connect
	if disconnect != nil {
		disconnected = disconnect
	}
}

var (
	result struct {
		_    structs.HostLayout
		tag  uint8
		_    [3]uint8
		text abi.Text
	}
	kept string
)

//go:wasmexport gimbal:filter/connections@0.1.0#on-connect
func onConnect() unsafe.Pointer {
	result.tag = 0
	if err := connected(); err != nil {
		kept = err.Error()
		result.tag, result.text = 1, abi.TextOf(kept)
	}
	return unsafe.Pointer(&result)
}

//go:wasmexport gimbal:filter/connections@0.1.0#on-disconnect
func onDisconnect() { disconnected() }
