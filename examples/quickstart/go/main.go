// Sends ten messages through Gimbal, receives them, and sends one that a filter of `gimbal dev` refuses.
//
//	go run . [HOST:PORT of Gimbal] [topic]
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const count = 10

func main() {
	gimbal, topic := argument(1, "127.0.0.1:9876"), argument(2, "hello")
	rlog.SetLogLevel("error")

	p, err := rocketmq.NewProducer(producer.WithNameServer([]string{gimbal}), producer.WithGroupName("quickstart-p"))
	must(err)
	must(p.Start())
	for i := 1; i <= count; i++ {
		result, err := p.SendSync(context.Background(), primitive.NewMessage(topic, fmt.Appendf(nil, "message %d", i)))
		must(err)
		fmt.Printf("sent      message %d to %s\n", i, result.MessageQueue.String())
	}

	arrived := make(chan string, count)
	c, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer([]string{gimbal}),
		consumer.WithGroupName("quickstart-c"),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
	)
	must(err)
	must(c.Subscribe(topic, consumer.MessageSelector{},
		func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, message := range messages {
				arrived <- string(message.Body)
			}
			return consumer.ConsumeSuccess, nil
		}))
	must(c.Start())
	for range count {
		select {
		case body := <-arrived:
			fmt.Println("received ", body)
		case <-time.After(time.Minute):
			must(fmt.Errorf("nothing arrived for a minute"))
		}
	}

	must(c.Shutdown())

	_, err = p.SendSync(context.Background(), primitive.NewMessage("payroll", []byte("let me in")))
	if err != nil {
		fmt.Println("refused   a message to payroll:", err)
	} else {
		fmt.Println("sent      a message to payroll: no filter was against it")
	}
	must(p.Shutdown())
}

func argument(at int, otherwise string) string {
	if len(os.Args) > at {
		return os.Args[at]
	}
	return otherwise
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
