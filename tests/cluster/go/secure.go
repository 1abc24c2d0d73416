//go:build !newest

package main

import (
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

// The released client has no TLS.

func secureProducer() []producer.Option { return nil }

func secureConsumer() []consumer.Option { return nil }
