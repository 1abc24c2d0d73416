package gimbal

import (
	"gimbal/internal/abi"
	"unsafe"
)

//go:wasmimport gimbal:filter/messages@0.1.0 count
func messagesCount(to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 topic
func messagesTopic(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 tags
func messagesTags(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 keys
func messagesKeys(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 property
func messagesProperty(index uint32, name string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 properties
func messagesProperties(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 set-property
func messagesSetProperty(index uint32, name, value string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 remove-property
func messagesRemoveProperty(index uint32, name string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 body-size
func messagesBodySize(index uint32) uint32

//go:wasmimport gimbal:filter/messages@0.1.0 body
func messagesBody(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 set-body
func messagesSetBody(index uint32, at unsafe.Pointer, length uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 remove
func messagesRemove(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 queue-offset
func messagesQueueOffset(index uint32, to unsafe.Pointer)

//go:wasmimport gimbal:filter/messages@0.1.0 reconsume-times
func messagesReconsumeTimes(index uint32) uint32

//go:wasmimport gimbal:filter/messages@0.1.0 born-timestamp
func messagesBornTimestamp(index uint32) uint64

// Message is one user message inside the command: its number, for one call. Needs an interest with NeedsBody.
type Message uint32

// Messages are those that the command came with; none for commands that carry none. An error says that they cannot be
// read.
func Messages() ([]Message, error) {
	messagesCount(abi.To())
	count, err := abi.Result()
	if err != nil {
		return nil, err
	}
	list := make([]Message, count)
	for i := range list {
		list[i] = Message(i)
	}
	return list, nil
}

// Topic of the message: also in a retry topic the one it was sent to first.
func (m Message) Topic() string {
	messagesTopic(uint32(m), abi.To())
	topic, _ := abi.Option()
	return topic
}

// Tags of the message.
func (m Message) Tags() (string, bool) {
	messagesTags(uint32(m), abi.To())
	return abi.Option()
}

// Keys of the message, separated by blanks.
func (m Message) Keys() (string, bool) {
	messagesKeys(uint32(m), abi.To())
	return abi.Option()
}

// Property of the message.
func (m Message) Property(name string) (string, bool) {
	messagesProperty(uint32(m), name, abi.To())
	return abi.Option()
}

// Properties are all of them.
func (m Message) Properties() []Pair {
	messagesProperties(uint32(m), abi.To())
	return copied(abi.List())
}

// SetProperty sets a property; neither name nor value may be empty.
func (m Message) SetProperty(name, value string) error {
	messagesSetProperty(uint32(m), name, value, abi.To())
	return abi.Err()
}

// RemoveProperty removes a property; whether it was there.
func (m Message) RemoveProperty(name string) (bool, error) {
	messagesRemoveProperty(uint32(m), name, abi.To())
	return abi.ResultFlag()
}

// BodySize is the number of bytes as they travel, compressed or not.
func (m Message) BodySize() int { return int(messagesBodySize(uint32(m))) }

// Body of the message, decompressed. The room for it is made beforehand: a compressed body may have 64 times its bytes,
// and at most 16 MiB; one beyond ends the call.
func (m Message) Body() ([]byte, error) {
	const most = 16 << 20
	abi.Reserve(min(most, 64*m.BodySize()))
	defer abi.Release()
	messagesBody(uint32(m), abi.To())
	return abi.ResultBytes()
}

// SetBody replaces the body; it is compressed again if it was compressed.
func (m Message) SetBody(body []byte) error {
	messagesSetBody(uint32(m), unsafe.Pointer(unsafe.SliceData(body)), uint32(len(body)), abi.To())
	return abi.Err()
}

// Remove takes the message out.
func (m Message) Remove() error {
	messagesRemove(uint32(m), abi.To())
	return abi.Err()
}

// QueueOffset is where it stands in its queue; none in sends.
func (m Message) QueueOffset() (uint64, bool) {
	messagesQueueOffset(uint32(m), abi.To())
	return abi.Long()
}

// ReconsumeTimes is how often it was delivered before.
func (m Message) ReconsumeTimes() uint32 { return messagesReconsumeTimes(uint32(m)) }

// BornTimestamp is when it was made, milliseconds since 1970 by the producer's clock.
func (m Message) BornTimestamp() uint64 { return messagesBornTimestamp(uint32(m)) }
