// One scenario under way: its names, what it sent, what it got, the clients it opened, and the verdict.
package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
)

type run struct {
	name, topic, group, id string

	mu        sync.Mutex
	out       map[string]any
	sent, got map[int]time.Time
	twice     int
	strangers int // messages of other runs: topics are a run's own
	instances int
	closers   []func()
}

var ctx = context.Background()

func newRun(name string) *run {
	topic := *prefix + "_" + name
	return &run{name: name, topic: topic, group: "g_" + topic, id: strconv.FormatInt(time.Now().UnixNano(), 36),
		out: map[string]any{"ok": true}, sent: map[int]time.Time{}, got: map[int]time.Time{}}
}

func (r *run) note(key string, value any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out[key] = value
}

// fail marks the scenario as failed; the first reason stays.
func (r *run) fail(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out["ok"] = false
	if r.out["why"] == nil {
		r.out["why"] = why
	}
}

func (r *run) check(holds bool, format string, args ...any) {
	if !holds {
		r.fail(fmt.Sprintf(format, args...))
	}
}

// must ends the scenario if a client call failed.
func (r *run) must(err error) {
	if err != nil {
		panic(failed{err.Error()})
	}
}

func (r *run) close() {
	for i := len(r.closers) - 1; i >= 0; i-- {
		r.closers[i]()
	}
}

func (r *run) instance() string {
	r.instances++
	return fmt.Sprintf("%s%d_%s", r.name, r.instances, r.id)
}

func (r *run) producerOptions(group string) []producer.Option {
	return append(secureProducer(), producer.WithNameServer([]string{*server}), producer.WithGroupName(group),
		producer.WithInstanceName(r.instance()), producer.WithRetry(2), producer.WithSendMsgTimeout(10*time.Second))
}

func (r *run) producer(options ...producer.Option) rocketmq.Producer {
	p, err := rocketmq.NewProducer(append(r.producerOptions("p_"+r.group), options...)...)
	r.must(err)
	r.must(p.Start())
	r.closers = append(r.closers, func() { _ = p.Shutdown() })
	return p
}

func (r *run) consumerOptions() []consumer.Option {
	return append(secureConsumer(), consumer.WithNameServer([]string{*server}), consumer.WithGroupName(r.group),
		consumer.WithInstance(r.instance()), consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset))
}

type listener func(*primitive.MessageExt) consumer.ConsumeResult

// prepare makes a push consumer that is not started.
func (r *run) prepare(topic, expression string, each listener, options ...consumer.Option) rocketmq.PushConsumer {
	c, err := rocketmq.NewPushConsumer(append(r.consumerOptions(), options...)...)
	r.must(err)
	r.must(c.Subscribe(topic, consumer.MessageSelector{Type: consumer.TAG, Expression: expression},
		func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
			for _, m := range messages {
				if result := each(m); result != consumer.ConsumeSuccess {
					return result, nil
				}
			}
			return consumer.ConsumeSuccess, nil
		}))
	return c
}

func (r *run) start(c rocketmq.PushConsumer) rocketmq.PushConsumer {
	r.must(c.Start())
	r.closers = append(r.closers, func() { _ = c.Shutdown() })
	return c
}

func (r *run) consumer(each listener, options ...consumer.Option) rocketmq.PushConsumer {
	return r.start(r.prepare(r.topic, "*", each, options...))
}

func (r *run) message(i int) *primitive.Message { return r.filled(i, "x") }

// filled is message number i of this run, noted as sent.
func (r *run) filled(i int, filler string) *primitive.Message {
	m := primitive.NewMessage(r.topic, []byte(fmt.Sprintf("%s:%d:%s", r.id, i, filler)))
	m.WithKeys([]string{fmt.Sprintf("%s-%d", r.id, i)}).WithTag("tag" + strconv.Itoa(i%3)).WithShardingKey(strconv.Itoa(i % 4))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[i] = time.Now()
	return m
}

// number is the number of a message of this run, or -1.
func (r *run) number(body []byte) int {
	parts := strings.SplitN(string(body[:min(len(body), 60)]), ":", 3)
	if len(parts) < 3 || parts[0] != r.id {
		return -1
	}
	i, err := strconv.Atoi(parts[1])
	if err != nil {
		return -1
	}
	return i
}

func (r *run) take(m *primitive.MessageExt) consumer.ConsumeResult {
	i := r.number(m.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	if i >= 0 {
		if _, again := r.got[i]; again {
			r.twice++
		} else {
			r.got[i] = time.Now()
		}
	} else if string(m.Body) != "warm" {
		r.strangers++
	}
	return consumer.ConsumeSuccess
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.got)
}

func until(seconds int, holds func() bool) bool {
	for end := time.Now().Add(time.Duration(seconds) * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if holds() {
			return true
		}
	}
	return holds()
}

func (r *run) await(count int) { until(*wait, func() bool { return r.count() >= count }) }

func every(int) bool { return true }

// verdict holds if each of the first count messages that is wanted came, and nothing else.
func (r *run) verdict(count int, wanted func(int) bool) {
	r.mu.Lock()
	var lost, extra []int
	var worst time.Duration
	for i := range count {
		at, came := r.got[i]
		switch {
		case wanted(i) && !came:
			lost = append(lost, i)
		case !wanted(i) && came:
			extra = append(extra, i)
		}
		if came {
			worst = max(worst, at.Sub(r.sent[i]))
		}
	}
	r.out["sent"], r.out["got"], r.out["duplicates"], r.out["ms_max"] = len(r.sent), len(r.got), r.twice, worst.Milliseconds()
	r.out["strangers"] = r.strangers
	r.mu.Unlock()
	r.check(len(lost) == 0, "lost %d of %d: %v", len(lost), count, lost[:min(8, len(lost))])
	r.check(len(extra) == 0, "not wanted: %v", extra)
}

func (r *run) once() { r.check(r.twice == 0, "%d duplicates", r.twice) }
