//go:build newest

package main

import (
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func secureProducer() []producer.Option { return []producer.Option{producer.WithTls(*secure)} }

func secureConsumer() []consumer.Option { return []consumer.Option{consumer.WithTls(*secure)} }
