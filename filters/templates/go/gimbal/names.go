package gimbal

import (
	"gimbal/internal/abi"
	"unsafe"
)

//go:wasmimport gimbal:filter/names@0.1.0 set-topic-prefix
func namesSetTopicPrefix(prefix string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/names@0.1.0 set-group-prefix
func namesSetGroupPrefix(prefix string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/names@0.1.0 map-topic
func namesMapTopic(client, broker string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/names@0.1.0 map-group
func namesMapGroup(client, broker string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/names@0.1.0 clear
func namesClear()

//go:wasmimport gimbal:filter/names@0.1.0 topic-at-broker
func namesTopicAtBroker(topic string, to unsafe.Pointer)

//go:wasmimport gimbal:filter/names@0.1.0 group-at-broker
func namesGroupAtBroker(group string, to unsafe.Pointer)

// Names of topics and groups as brokers know them, in place of those the client uses.
var Names names

type names struct{}

// SetTopicPrefix puts this before every topic; empty for none.
func (names) SetTopicPrefix(prefix string) error {
	namesSetTopicPrefix(prefix, abi.To())
	return abi.Err()
}

// SetGroupPrefix puts this before every group.
func (names) SetGroupPrefix(prefix string) error {
	namesSetGroupPrefix(prefix, abi.To())
	return abi.Err()
}

// MapTopic maps one topic.
func (names) MapTopic(client, broker string) error {
	namesMapTopic(client, broker, abi.To())
	return abi.Err()
}

// MapGroup maps one group.
func (names) MapGroup(client, broker string) error {
	namesMapGroup(client, broker, abi.To())
	return abi.Err()
}

// Clear ends the mapping.
func (names) Clear() { namesClear() }

// TopicAtBroker is what a topic of the client is called at the broker.
func (names) TopicAtBroker(topic string) string {
	namesTopicAtBroker(topic, abi.To())
	return abi.Plain()
}

// GroupAtBroker is what a group of the client is called at the broker.
func (names) GroupAtBroker(group string) string {
	namesGroupAtBroker(group, abi.To())
	return abi.Plain()
}
