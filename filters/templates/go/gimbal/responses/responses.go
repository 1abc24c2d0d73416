// Package responses makes a filter see responses.
package responses

import (
	"gimbal"
	"unsafe"
)

var handle func(requestCode, responseCode int32) gimbal.Verdict

// Handle says what decides about a response.
func Handle(function func(requestCode, responseCode int32) gimbal.Verdict) { handle = function }

//go:wasmexport gimbal:filter/responses@0.1.0#on-response
func onResponse(requestCode, responseCode int32) unsafe.Pointer {
	return gimbal.Lower(handle(requestCode, responseCode))
}
