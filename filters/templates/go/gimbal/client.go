package gimbal

import (
	"gimbal/internal/abi"
	"unsafe"
)

//go:wasmimport gimbal:filter/client@0.1.0 peer
func clientPeer(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 ip
func clientIP(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 listener
func clientListener(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 client-id
func clientID(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 language
func clientLanguage(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 version
func clientVersion() int32

//go:wasmimport gimbal:filter/client@0.1.0 user
func clientUser(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 tls-subject
func clientTLSSubject(to unsafe.Pointer)

//go:wasmimport gimbal:filter/client@0.1.0 connection
func clientConnection() uint64

// Client is who is at the other end of the connection.
var Client client

type client struct{}

// Peer is its address as ip:port.
func (client) Peer() string {
	clientPeer(abi.To())
	return abi.Plain()
}

// IP is its address alone.
func (client) IP() string {
	clientIP(abi.To())
	return abi.Plain()
}

// Listener it came in by.
func (client) Listener() string {
	clientListener(abi.To())
	return abi.Plain()
}

// ID of its last heartbeat, or of the command under decision.
func (client) ID() (string, bool) {
	clientID(abi.To())
	return abi.Option()
}

// Language of its last request.
func (client) Language() string {
	clientLanguage(abi.To())
	return abi.Plain()
}

// Version ordinal of its last request.
func (client) Version() int32 { return clientVersion() }

// User is the access key of the command's signature, if it was verified at this edge.
func (client) User() (string, bool) {
	clientUser(abi.To())
	return abi.Option()
}

// TLSSubject of its certificate, if it showed one that was verified.
func (client) TLSSubject() (string, bool) {
	clientTLSSubject(abi.To())
	return abi.Option()
}

// Connection is its number; never used twice while Gimbal runs.
func (client) Connection() uint64 { return clientConnection() }
