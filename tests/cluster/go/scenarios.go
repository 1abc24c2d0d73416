// The scenarios; what each proves stands in the suite's README.
package main

import (
	"context"
	"crypto/sha1"
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

func (r *run) send(p rocketmq.Producer, count int) {
	for i := range count {
		result, err := p.SendSync(ctx, r.message(i))
		r.must(err)
		r.check(result.Status == primitive.SendOK, "send status %v", result.Status)
	}
}

func (r *run) roundTrip(mode string) {
	const count = 40
	p := r.producer()
	r.consumer(r.take)
	var left sync.WaitGroup
	var batch []*primitive.Message
	for i := range count {
		m := r.message(i)
		switch mode {
		case "async":
			left.Add(1)
			r.must(p.SendAsync(ctx, func(_ context.Context, _ *primitive.SendResult, err error) {
				r.check(err == nil, "async send: %v", err)
				left.Done()
			}, m))
		case "oneway":
			r.must(p.SendOneWay(ctx, m))
		case "batch":
			if batch = append(batch, m); len(batch) == 10 {
				_, err := p.SendSync(ctx, batch...)
				r.must(err)
				batch = nil
			}
		default:
			if mode == "delay" {
				m.WithDelayTimeLevel(1)
			}
			_, err := p.SendSync(ctx, m)
			r.must(err)
		}
	}
	left.Wait()
	r.await(count)
	if mode == "delay" {
		for i, at := range r.got {
			r.check(at.Sub(r.sent[i]) > 500*time.Millisecond, "delivered after %v", at.Sub(r.sent[i]))
		}
	}
	r.verdict(count, every)
	r.once()
}

func (r *run) big() {
	p := r.producer()
	var mu sync.Mutex
	wanted, came := map[int][20]byte{}, map[int][20]byte{}
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		mu.Lock()
		came[r.number(m.Body)] = sha1.Sum(m.Body)
		mu.Unlock()
		return r.take(m)
	})
	for i := range 6 {
		filler := strings.Repeat("abcdefghij", 20_000)
		if i >= 4 {
			noise := make([]byte, 3_670_016-60)
			rand.New(rand.NewSource(int64(i))).Read(noise)
			filler = string(noise)
		}
		m := r.filled(i, filler)
		wanted[i] = sha1.Sum(m.Body)
		_, err := p.SendSync(ctx, m)
		r.must(err)
	}
	r.await(6)
	r.verdict(6, every)
	mu.Lock()
	defer mu.Unlock()
	r.check(maps.Equal(wanted, came), "bodies differ")
}

func (r *run) order() {
	p := r.producer(producer.WithQueueSelector(producer.NewHashQueueSelector()))
	var mu sync.Mutex
	last := map[int]int{}
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		mu.Lock()
		defer mu.Unlock()
		i := r.number(m.Body)
		before, any := last[i%4]
		r.check(!any || before < i, "%d after %d", i, before)
		last[i%4] = i
		return r.take(m)
	}, consumer.WithConsumerOrder(true))
	r.send(p, 40)
	r.await(40)
	r.verdict(40, every)
}

func (r *run) broadcast() {
	p := r.producer()
	var mu sync.Mutex
	second := map[int]bool{}
	r.consumer(r.take, consumer.WithConsumerModel(consumer.BroadCasting))
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		mu.Lock()
		defer mu.Unlock()
		second[r.number(m.Body)] = true
		return consumer.ConsumeSuccess
	}, consumer.WithConsumerModel(consumer.BroadCasting))
	time.Sleep(3 * time.Second)
	r.send(p, 30)
	r.await(30)
	until(*wait, func() bool { mu.Lock(); defer mu.Unlock(); return len(second) >= 30 })
	r.check(len(second) == 30, "the second member got %d", len(second))
	r.verdict(30, every)
}

func (r *run) tags() {
	p := r.producer()
	r.start(r.prepare(r.topic, "tag0 || tag2", r.take))
	r.send(p, 30)
	r.await(20)
	time.Sleep(500 * time.Millisecond)
	r.verdict(30, func(i int) bool { return i%3 != 1 })
}

func (r *run) pull() {
	p := r.producer()
	c, err := rocketmq.NewPullConsumer(r.consumerOptions()...)
	r.must(err)
	r.must(c.Subscribe(r.topic, consumer.MessageSelector{Type: consumer.TAG, Expression: "*"}))
	r.must(c.Start())
	r.closers = append(r.closers, func() { _ = c.Shutdown() })
	r.send(p, 30)
	until(*wait, func() bool {
		if found, err := c.Poll(ctx, time.Second); err == nil {
			for _, m := range found.GetMsgList() {
				r.take(m)
			}
			c.ACK(ctx, found, consumer.ConsumeSuccess)
		}
		return r.count() >= 30
	})
	r.verdict(30, every)
}

func (r *run) retry() {
	p := r.producer()
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		if m.ReconsumeTimes == 0 {
			return consumer.ConsumeRetryLater
		}
		return r.take(m)
	}, consumer.WithConsumeMessageBatchMaxSize(1))
	r.send(p, 12)
	r.await(12)
	r.verdict(12, every)
}

func (r *run) deadLetters() {
	p := r.producer()
	r.consumer(func(*primitive.MessageExt) consumer.ConsumeResult { return consumer.ConsumeRetryLater },
		consumer.WithMaxReconsumeTimes(1), consumer.WithConsumeMessageBatchMaxSize(1))
	dead := r.prepare("%DLQ%"+r.group, "*", r.take, consumer.WithGroupName(r.group+"_dlq"))
	r.start(dead)
	r.send(p, 6)
	r.await(6)
	r.verdict(6, every)
}

// unknown leaves a transaction open until the broker asks; the client exports no name for it that both versions have.
const unknown = primitive.LocalTransactionState(3)

type decisions struct {
	run     *run
	mu      sync.Mutex
	checked map[int]bool
}

func (d *decisions) ExecuteLocalTransaction(m *primitive.Message) primitive.LocalTransactionState {
	states := []primitive.LocalTransactionState{primitive.CommitMessageState, primitive.RollbackMessageState, unknown}
	return states[d.run.number(m.Body)%3]
}

func (d *decisions) CheckLocalTransaction(m *primitive.MessageExt) primitive.LocalTransactionState {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.run.number(m.Body)
	d.checked[i] = true
	if i%3 == 1 {
		return primitive.RollbackMessageState
	}
	return primitive.CommitMessageState
}

func (r *run) transactions() {
	d := &decisions{run: r, checked: map[int]bool{}}
	p, err := rocketmq.NewTransactionProducer(d, r.producerOptions("tx_"+r.group)...)
	r.must(err)
	r.must(p.Start())
	r.closers = append(r.closers, func() { _ = p.Shutdown() })
	var mu sync.Mutex
	warm := map[string]bool{}
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		mu.Lock()
		defer mu.Unlock()
		warm[m.Queue.BrokerName+fmt.Sprint(m.Queue.QueueId)] = true
		return r.take(m)
	})
	plain := r.producer()
	until(*wait, func() bool {
		_, err := plain.SendSync(ctx, primitive.NewMessage(r.topic, []byte("warm")))
		r.must(err)
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return len(warm) == 4
	})
	for i := range 12 {
		_, err := p.SendMessageInTransaction(ctx, r.message(i))
		r.must(err)
	}
	r.await(8)
	time.Sleep(1500 * time.Millisecond)
	r.verdict(12, func(i int) bool { return i%3 != 1 })
	var commit, checked time.Duration
	for i, at := range r.got {
		if i%3 == 0 {
			commit = max(commit, at.Sub(r.sent[i]))
		} else {
			checked = max(checked, at.Sub(r.sent[i]))
		}
	}
	r.note("commit_ms", commit.Milliseconds())
	r.note("checked_ms", checked.Milliseconds())
	r.check(commit < 3*time.Second, "a committed message took %v", commit)
}

// members counts by whom the messages are taken: alone, in two, alone again.
func (r *run) members() {
	p := r.producer()
	var mu sync.Mutex
	taken := map[int]map[int]bool{}
	by := func(member int) listener {
		return func(m *primitive.MessageExt) consumer.ConsumeResult {
			mu.Lock()
			defer mu.Unlock()
			key := m.Queue.QueueId
			if m.Queue.BrokerName == "broker-b" {
				key += 10
			}
			if taken[key] == nil {
				taken[key] = map[int]bool{}
			}
			taken[key][member] = true
			return r.take(m)
		}
	}
	next := 0
	// round sends until each queue has given a message, and tells how many queues each member got.
	round := func() map[int]int {
		mu.Lock()
		taken = map[int]map[int]bool{}
		mu.Unlock()
		until(20, func() bool {
			_, err := p.SendSync(ctx, r.message(next))
			r.must(err)
			next++
			time.Sleep(20 * time.Millisecond)
			mu.Lock()
			defer mu.Unlock()
			return len(taken) == 4
		})
		mu.Lock()
		defer mu.Unlock()
		shares := map[int]int{}
		for _, members := range taken {
			for member := range members {
				shares[member]++
			}
		}
		return shares
	}
	r.consumer(by(1))
	r.check(maps.Equal(round(), map[int]int{1: 4}), "alone the first member has other queues than all")
	second := r.prepare(r.topic, "*", by(2))
	r.must(second.Start())
	started := time.Now()
	r.check(until(25, func() bool { return maps.Equal(round(), map[int]int{1: 2, 2: 2}) }), "the queues are not shared")
	r.note("join_ms", time.Since(started).Milliseconds())
	r.must(second.Shutdown())
	stopped := time.Now()
	r.check(until(25, func() bool { return maps.Equal(round(), map[int]int{1: 4}) }), "the first member did not take over")
	r.note("leave_ms", time.Since(stopped).Milliseconds())
	r.await(next)
	r.verdict(next, every)
}

func (r *run) request() {
	// The first request of a producer makes it known to every broker, but only if it has not sent anything before.
	replier, p := r.producer(producer.WithGroupName("r_"+r.group)), r.producer()
	var mu sync.Mutex
	warm := map[int]bool{}
	r.consumer(func(m *primitive.MessageExt) consumer.ConsumeResult {
		if r.number(m.Body) >= 0 {
			reply, err := consumer.CreateReplyMessage(m, m.Body)
			if err == nil {
				reply.Body = m.Body // CreateReplyMessage reads properties out of the body and leaves the body empty
				_, err = replier.SendSync(ctx, reply)
			}
			r.check(err == nil || r.number(m.Body) == 1000, "reply: %v", err)
			return consumer.ConsumeSuccess
		}
		mu.Lock()
		defer mu.Unlock()
		key := m.Queue.QueueId
		if m.Queue.BrokerName == "broker-b" {
			key += 10
		}
		warm[key] = true
		return consumer.ConsumeSuccess
	})
	until(*wait, func() bool {
		_, err := replier.SendSync(ctx, primitive.NewMessage(r.topic, []byte("warm")))
		r.must(err)
		time.Sleep(100 * time.Millisecond)
		mu.Lock()
		defer mu.Unlock()
		return len(warm) == 4
	})
	// The requester is known to every broker by its next heartbeat at the latest; until then a request may go unanswered.
	known := until(45, func() bool {
		_, err := p.Request(ctx, 3*time.Second, r.message(1000))
		return err == nil
	})
	r.check(known, "no reply within 45 s")
	time.Sleep(500 * time.Millisecond)
	for i := range 8 {
		reply, err := p.Request(ctx, 5*time.Second, r.message(i))
		r.must(err)
		r.take(&primitive.MessageExt{Message: primitive.Message{Topic: reply.Topic, Body: reply.Body}})
	}
	r.verdict(8, every)
}

// stream sends for -seconds; what was acknowledged must arrive.
func (r *run) stream() {
	p := r.producer()
	r.consumer(r.take)
	say("@flowing " + r.topic)
	stored, failures, errors := map[int]bool{}, 0, map[string]int{}
	for i, end := 0, time.Now().Add(time.Duration(*seconds)*time.Second); time.Now().Before(end); i++ {
		if _, err := p.SendSync(ctx, r.message(i)); err == nil {
			stored[i] = true
			time.Sleep(5 * time.Millisecond)
		} else {
			failures++
			errors[err.Error()]++
			time.Sleep(200 * time.Millisecond)
		}
	}
	missing := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		lost := 0
		for i := range stored {
			if _, came := r.got[i]; !came {
				lost++
			}
		}
		return lost
	}
	until(*wait, func() bool { return missing() == 0 })
	r.note("stored", len(stored))
	r.note("failed", failures)
	r.note("errors", fmt.Sprint(errors))
	r.note("got", r.count())
	r.note("lost", missing())
	r.note("duplicates", r.twice)
	r.check(missing() == 0, "lost %d of %d", missing(), len(stored))
}
