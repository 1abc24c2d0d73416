// Scenarios about consumers.
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.message.*;

class Consumers {
    static void send(Run run, DefaultMQProducer producer, int count) throws Exception {
        for (int i = 0; i < count; i++) Sends.stored(run, producer.send(run.message(i)));
    }

    /** Four sequences, each in order, one queue suspended for a moment. */
    static void order(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Map<Integer, Integer> last = new ConcurrentHashMap<>();
        AtomicBoolean paused = new AtomicBoolean();
        run.consumer((MessageListenerOrderly) (messages, context) -> {
            for (MessageExt message : messages) {
                int i = run.number(message);
                if (i == 9 && paused.compareAndSet(false, true)) {
                    context.setSuspendCurrentQueueTimeMillis(300);
                    return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
                }
                Integer before = last.put(i % 4, i);
                run.check(before == null || before < i, i + " after " + before);
                run.take(message);
            }
            return ConsumeOrderlyStatus.SUCCESS;
        });
        for (int i = 0; i < 40; i++) {
            MessageQueueSelector byNumber = (queues, message, key) -> queues.get((Integer) key % queues.size());
            Sends.stored(run, producer.send(run.message(i), byNumber, i % 4));
        }
        run.await(run.got, 40);
        run.verdict(Run.ids(40, i -> true));
    }

    /** Two members, each gets everything. */
    static void broadcast(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        List<Map<String, Long>> received = List.of(run.got, new ConcurrentHashMap<>());
        for (Map<String, Long> into : received) {
            DefaultMQPushConsumer consumer = run.prepare(run.group, "*", run.taking(into));
            for (Object model : DefaultMQPushConsumer.class.getMethod("getMessageModel").getReturnType().getEnumConstants()) {
                if (model.toString().equals("BROADCASTING")) Run.call(consumer, "setMessageModel", model);
            }
            run.start(consumer);
        }
        send(run, producer, 30);
        for (Map<String, Long> into : received) run.await(into, 30);
        run.check(received.get(1).size() == 30, "the second member got " + received.get(1).size());
        run.verdict(Run.ids(30, i -> true));
    }

    static void tags(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.start(run.prepare(run.group, "tag0 || tag2", run.taking(run.got)));
        send(run, producer, 30);
        run.await(run.got, 20);
        Thread.sleep(500);
        run.verdict(Run.ids(30, i -> i % 3 != 1));
        run.once();
    }

    static void sql(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        DefaultMQPushConsumer consumer = run.prepare(run.group, null, run.taking(run.got));
        consumer.subscribe(run.topic, MessageSelector.bySql("a > 5 AND TAGS IS NOT NULL"));
        run.start(consumer);
        send(run, producer, 40);
        run.await(run.got, 16);
        Thread.sleep(500);
        run.verdict(Run.ids(40, i -> i % 10 > 5));
        run.once();
    }

    /** The first delivery of every message is refused; it comes again. */
    static void retry(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Set<Integer> refused = ConcurrentHashMap.newKeySet();
        run.consumer((MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            for (MessageExt message : messages) {
                if (message.getReconsumeTimes() == 0) {
                    refused.add(run.number(message));
                    return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                }
                run.take(message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        send(run, producer, 12);
        run.await(run.got, 12);
        run.check(refused.size() == 12, "first deliveries: " + refused);
        run.verdict(Run.ids(12, i -> true));
    }

    /** Messages refused once too often end in the group's dead letter topic. */
    static void deadLetters(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Map<Integer, Integer> deliveries = new ConcurrentHashMap<>();
        DefaultMQPushConsumer refusing = run.prepare(run.group, "*", (MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            messages.forEach(message -> deliveries.merge(run.number(message), 1, Integer::sum));
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        refusing.setMaxReconsumeTimes(1);
        run.start(refusing);
        send(run, producer, 6);
        DefaultMQPullConsumer reader = run.start(new DefaultMQPullConsumer(run.group + "_dlq", Run.hook()));
        String dead = "%DLQ%" + run.group;
        Run.until(run.seconds, () -> { drain(run, reader, dead); return run.got.size() >= 6; });
        run.out.put("deliveries", deliveries.toString());
        run.check(deliveries.size() == 6 && deliveries.values().stream().allMatch(n -> n == 2), "deliveries " + deliveries);
        run.verdict(Run.ids(6, i -> true));
    }

    /** Reads what is new in every queue of a topic and commits; a topic without a route has nothing. */
    static void drain(Run run, DefaultMQPullConsumer consumer, String topic) throws Exception {
        Set<MessageQueue> queues;
        try {
            queues = consumer.fetchSubscribeMessageQueues(topic);
        } catch (Exception e) {
            Thread.sleep(300);
            return;
        }
        for (MessageQueue queue : queues) {
            long at = Math.max(consumer.fetchConsumeOffset(queue, false), consumer.minOffset(queue)), end = consumer.maxOffset(queue);
            while (at < end) {
                PullResult result = consumer.pull(queue, "*", at, 32);
                if (result.getPullStatus() == PullStatus.FOUND) result.getMsgFoundList().forEach(run::take);
                at = result.getNextBeginOffset();
            }
            consumer.updateConsumeOffset(queue, at);
        }
    }

    static void pull(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        DefaultMQPullConsumer consumer = run.start(new DefaultMQPullConsumer(run.group, Run.hook()));
        send(run, producer, 30);
        Run.until(run.seconds, () -> { drain(run, consumer, run.topic); return run.got.size() >= 30; });
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(run.topic).iterator().next();
        PullResult none = consumer.pull(queue, "*", consumer.maxOffset(queue), 32);
        run.check(none.getPullStatus() == PullStatus.NO_NEW_MSG, "pull at the end: " + none.getPullStatus());
        run.verdict(Run.ids(30, i -> true));
        run.once();
    }

    static void lite(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Object consumer = Class.forName("org.apache.rocketmq.client.consumer.DefaultLitePullConsumer").getConstructor(String.class, org.apache.rocketmq.remoting.RPCHook.class)
            .newInstance(run.group, Run.hook());
        Run.call(consumer, "setConsumeFromWhere", org.apache.rocketmq.common.consumer.ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        Run.call(consumer, "subscribe", run.topic, "*");
        run.start(consumer);
        send(run, producer, 30);
        Run.until(run.seconds, () -> {
            ((List<?>) Run.call(consumer, "poll", 500L)).forEach(message -> run.take((Message) message));
            return run.got.size() >= 30;
        });
        Run.call(consumer, "commitSync");
        run.verdict(Run.ids(30, i -> true));
        run.once();
    }

    /** What the offset calls say of a queue that got exactly five messages. */
    static void offsets(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        DefaultMQPullConsumer consumer = run.start(new DefaultMQPullConsumer(run.group, Run.hook()));
        long begin = Run.now();
        for (MessageQueue queue : new TreeSet<>(producer.fetchPublishMessageQueues(run.topic))) {
            for (int i = 0; i < 5; i++) Sends.stored(run, producer.send(run.message(run.sent.size()), queue));
            run.check(Run.until(10, () -> consumer.maxOffset(queue) == 5), queue + ": max " + consumer.maxOffset(queue));
            run.check(consumer.minOffset(queue) == 0, queue + ": min " + consumer.minOffset(queue));
            run.check(consumer.searchOffset(queue, begin - 60_000) == 0, queue + ": search in the past " + consumer.searchOffset(queue, begin - 60_000));
            run.check(consumer.searchOffset(queue, Run.now() + 60_000) >= 4, queue + ": search in the future");
            long earliest = consumer.earliestMsgStoreTime(queue);
            run.check(earliest >= begin - 60_000 && earliest <= Run.now() + 60_000, queue + ": earliest " + earliest);
            consumer.getDefaultMQPullConsumerImpl().getOffsetStore().updateConsumeOffsetToBroker(queue, 3, false);
            run.check(Run.until(10, () -> consumer.fetchConsumeOffset(queue, true) == 3), queue + ": committed " + consumer.fetchConsumeOffset(queue, true));
        }
        run.out.put("sent", run.sent.size());
    }

    /** A second member comes and goes; the first one follows each time. */
    static void members(Run run) throws Exception {
        run.producer();
        DefaultMQPushConsumer first = run.consumer(run.taking(run.got));
        run.check(Run.until(30, () -> run.queues(first) == 4), "the first member holds " + run.queues(first));
        long begin = Run.now();
        DefaultMQPushConsumer second = run.consumer(run.taking(run.got));
        long started = Run.now();
        run.check(Run.until(25, () -> run.queues(first) == 2), "after the join the first member holds " + run.queues(first));
        run.out.put("join_ms", Run.now() - begin);
        run.out.put("start_ms", started - begin);
        run.check(Run.now() - started < 2000, "the join was seen after " + (Run.now() - started) + " ms");
        run.check(Run.until(25, () -> run.queues(second) == 2), "the second member holds " + run.queues(second));
        begin = Run.now();
        second.shutdown();
        long left = Run.now();
        run.check(Run.until(25, () -> run.queues(first) == 4), "after the leave the first member holds " + run.queues(first));
        run.out.put("leave_ms", Run.now() - begin);
        run.check(Run.now() - left < 2000, "the leave was seen after " + (Run.now() - left) + " ms");
    }

    /** A POP consumer acknowledges most messages and asks for the others again. */
    static void pop(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        // A POP consumer of 5.0.0 never gets again what it refused, also direct.
        boolean refuses = org.apache.rocketmq.common.MQVersion.CURRENT_VERSION > 413;
        Set<Integer> refused = ConcurrentHashMap.newKeySet();
        DefaultMQPushConsumer consumer = run.prepare(run.group, "*", (MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (refuses && run.number(message) % 10 == 3 && refused.add(run.number(message))) return ConsumeConcurrentlyStatus.RECONSUME_LATER;
                run.take(message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        Run.call(consumer, "setClientRebalance", false);
        run.start(consumer);
        send(run, producer, 30);
        run.await(run.got, 30);
        run.out.put("held_by_pull", run.queues(consumer));
        run.check(run.queues(consumer) == 0, "it fell back to pull");
        run.check(!refuses || refused.size() == 3, "refused " + refused);
        run.verdict(Run.ids(30, i -> true));
        run.once();
    }

    /** The suite resets the group's offsets while it consumes; everything comes a second time. */
    static void reset(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.consumer(run.taking(run.got));
        send(run, producer, 20);
        run.await(run.got, 20);
        Thread.sleep(6000); // the offsets are committed every 5 s
        Client.say("@reset " + run.topic + " " + run.group);
        run.check(Run.until(run.seconds, () -> run.duplicates.get() >= 20), "again after the reset: " + run.duplicates.get());
        run.verdict(Run.ids(20, i -> true));
    }

    /** A live consumer for the suite's admin commands; it ends after `-seconds`. */
    static void watch(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.consumer(run.taking(run.got));
        send(run, producer, 20);
        run.await(run.got, 20);
        Client.say("@watch " + run.topic + " " + run.group);
        Thread.sleep(Client.number("seconds", 20) * 1000L);
        run.out.put("again", run.duplicates.get());
        run.verdict(Run.ids(20, i -> true));
    }
}
