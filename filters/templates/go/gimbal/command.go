package gimbal

import (
	"gimbal/internal/abi"
	"structs"
	"unsafe"
)

//go:wasmimport gimbal:filter/command@0.1.0 code
func commandCode() int32

//go:wasmimport gimbal:filter/command@0.1.0 request-code
func commandRequestCode() int32

//go:wasmimport gimbal:filter/command@0.1.0 opaque
func commandOpaque() int32

//go:wasmimport gimbal:filter/command@0.1.0 is-oneway
func commandIsOneway() bool

//go:wasmimport gimbal:filter/command@0.1.0 is-from-broker
func commandIsFromBroker() bool

//go:wasmimport gimbal:filter/command@0.1.0 language
func commandLanguage(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 version
func commandVersion() int32

//go:wasmimport gimbal:filter/command@0.1.0 remark
func commandRemark(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 set-remark
func commandSetRemark(remark string)

//go:wasmimport gimbal:filter/command@0.1.0 field
func commandField(name string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 fields
func commandFields(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 set-field
func commandSetField(name, value string)

//go:wasmimport gimbal:filter/command@0.1.0 remove-field
func commandRemoveField(name string) bool

//go:wasmimport gimbal:filter/command@0.1.0 request-field
func commandRequestField(name string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 topic
func commandTopic(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 group
func commandGroup(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 queue-id
func commandQueueID(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 broker
func commandBroker(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 accesses
func commandAccesses(to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 remove-group
func commandRemoveGroup(group string) bool

//go:wasmimport gimbal:filter/command@0.1.0 body-size
func commandBodySize() uint32

//go:wasmimport gimbal:filter/command@0.1.0 body-range
func commandBodyRange(offset, length uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/command@0.1.0 set-body
func commandSetBody(at unsafe.Pointer, length uint32)

//go:wasmimport gimbal:filter/command@0.1.0 max-delay
func commandMaxDelay() uint32

//go:wasmimport gimbal:filter/command@0.1.0 signed
func commandSigned() bool

// Code of the command: of the request, or of the response in a response.
func Code() int32 { return commandCode() }

// RequestCode is the code of the request on both ways.
func RequestCode() int32 { return commandRequestCode() }

// Opaque is the client's correlation number.
func Opaque() int32 { return commandOpaque() }

// IsOneway says whether nobody waits for an answer.
func IsOneway() bool { return commandIsOneway() }

// IsFromBroker says whether a broker sent the request to its client.
func IsFromBroker() bool { return commandIsFromBroker() }

// Language of the sender, as in the header.
func Language() string {
	commandLanguage(abi.To())
	return abi.Plain()
}

// Version ordinal of the sender.
func Version() int32 { return commandVersion() }

// Remark of a response.
func Remark() (string, bool) {
	commandRemark(abi.To())
	return abi.Option()
}

// SetRemark sets the remark.
func SetRemark(remark string) { commandSetRemark(remark) }

// Field is an ext field by its name on the wire.
func Field(name string) (string, bool) {
	commandField(name, abi.To())
	return abi.Option()
}

// Fields are all ext fields, in order.
func Fields() []Pair {
	commandFields(abi.To())
	return copied(abi.List())
}

// SetField sets an ext field.
func SetField(name, value string) { commandSetField(name, value) }

// RemoveField removes an ext field; whether it was there.
func RemoveField(name string) bool { return commandRemoveField(name) }

// RequestField is an ext field of the request, on both ways.
func RequestField(name string) (string, bool) {
	commandRequestField(name, abi.To())
	return abi.Option()
}

// Topic of the request; empty for none.
func Topic() string {
	commandTopic(abi.To())
	topic, _ := abi.Option()
	return topic
}

// Group of the request; empty for none.
func Group() string {
	commandGroup(abi.To())
	group, _ := abi.Option()
	return group
}

// QueueID of the request; negative lets the broker choose.
func QueueID() (int32, bool) {
	commandQueueID(abi.To())
	id, has := abi.Number()
	return int32(id), has
}

// Broker that the request names.
func Broker() (string, bool) {
	commandBroker(abi.To())
	return abi.Option()
}

// Action is what a command does to a topic or group.
type Action uint8

const (
	// Publish is sending to it.
	Publish Action = iota
	// Subscribe is taking messages from it.
	Subscribe
	// Read is asking about it.
	Read
	// Manage is anything else.
	Manage
)

// Access is a topic or group that a command touches, and how; empty for none.
type Access struct {
	Action       Action
	Topic, Group string
}

type access struct {
	_        structs.HostLayout
	action   uint8
	_        [3]uint8
	hasTopic uint32
	topic    abi.Text
	hasGroup uint32
	group    abi.Text
}

// Accesses are everything that the request touches: what an access list should judge.
func Accesses() []Access {
	commandAccesses(abi.To())
	raw := abi.Slice[access](abi.List())
	list := make([]Access, len(raw))
	for i, found := range raw {
		list[i].Action = Action(found.action)
		if found.hasTopic&1 != 0 {
			list[i].Topic = found.topic.String()
		}
		if found.hasGroup&1 != 0 {
			list[i].Group = found.group.String()
		}
	}
	return list
}

// RemoveGroup takes a consumer group out of a heartbeat; whether it was there.
func RemoveGroup(group string) bool { return commandRemoveGroup(group) }

// BodySize is the number of bytes in the body.
func BodySize() int { return int(commandBodySize()) }

// Body of the command. Needs an interest with NeedsBody, as all that follows.
func Body() []byte {
	const piece = 128 << 10
	left := commandBodySize()
	body := make([]byte, 0, left)
	for uint32(len(body)) < left {
		commandBodyRange(uint32(len(body)), piece, abi.To())
		got := abi.Slice[byte](abi.List())
		if len(got) == 0 {
			break
		}
		body = append(body, got...)
	}
	return body
}

// SetBody replaces the body; for user messages use the functions of Message.
func SetBody(body []byte) { commandSetBody(unsafe.Pointer(unsafe.SliceData(body)), uint32(len(body))) }

// MaxDelay is the longest delay in milliseconds that leaves the broker its time; 0 where nothing may be held.
func MaxDelay() uint32 { return commandMaxDelay() }

// Signed says whether the client signed the request.
func Signed() bool { return commandSigned() }
