// Package requests makes a filter see requests.
package requests

import (
	"gimbal"
	"unsafe"
)

var handle func(code int32) gimbal.Verdict

// Handle says what decides about a request; it gets the request code.
func Handle(function func(code int32) gimbal.Verdict) { handle = function }

//go:wasmexport gimbal:filter/requests@0.1.0#on-request
func onRequest(code int32) unsafe.Pointer { return gimbal.Lower(handle(code)) }
