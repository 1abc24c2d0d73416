// Scenarios for commands that filters of Gimbal refuse, hold or change. What is right depends on the filters, so the suite judges.
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.message.*;

class Filtered {
    /** What became of calls: which codes came back how often, the last remark of each, and what was stored. */
    static class Tally {
        final Map<String, Integer> codes = new ConcurrentSkipListMap<>();
        final Map<String, String> remarks = new ConcurrentSkipListMap<>();
        final Set<String> stored = ConcurrentHashMap.newKeySet();
        final AtomicInteger calls = new AtomicInteger();

        void send(DefaultMQProducer producer, Message message, String name) throws Exception {
            calls.incrementAndGet();
            try {
                producer.send(message);
                stored.add(name);
            } catch (Exception e) {
                failed(e);
            }
        }

        /** The code that a broker, or Gimbal, gave; the class of the exception where there is none. */
        void failed(Throwable e) {
            Throwable cause = e;
            while (!(cause instanceof MQBrokerException) && cause.getCause() != null) cause = cause.getCause();
            String code = cause instanceof MQBrokerException ? "" + ((MQBrokerException) cause).getResponseCode() : e.getClass().getSimpleName();
            if (!(e instanceof MQBrokerException) && cause instanceof MQBrokerException) code += " after retries";
            codes.merge(code, 1, Integer::sum);
            String text = cause instanceof MQBrokerException ? ((MQBrokerException) cause).getErrorMessage() : String.valueOf(e.getMessage());
            remarks.put(code, String.valueOf(text).split("\n")[0]);
        }

        void tell(Run run) {
            run.out.put("calls", calls.get());
            run.out.put("stored", stored.size());
            run.out.put("codes", codes.toString());
            run.out.put("remarks", remarks.toString());
        }
    }

    /** Sends for `-seconds`, with `-pause` ms between, and takes refusals as they come; what was stored arrives, and nothing else. */
    static void limited(Run run, boolean async) throws Exception {
        DefaultMQProducer producer = run.producer();
        DefaultMQPushConsumer consumer = run.consumer(run.taking(run.got));
        run.check(Run.until(30, () -> run.queues(consumer) >= 4), "consumer without queues");
        Tally tally = new Tally();
        Phaser left = new Phaser(1);
        long begin = Run.now(), end = begin + Client.number("seconds", 5) * 1000L;
        for (int i = 0; Run.now() < end; i++) {
            String name = "" + i;
            if (async) {
                tally.calls.incrementAndGet();
                left.register();
                producer.send(run.message(i), new SendCallback() {
                    public void onSuccess(SendResult result) { tally.stored.add(name); left.arriveAndDeregister(); }
                    public void onException(Throwable e) { tally.failed(e); left.arriveAndDeregister(); }
                });
            } else {
                tally.send(producer, run.message(i), name);
            }
            Thread.sleep(Client.number("pause", 5));
        }
        run.out.put("send_ms", Run.now() - begin);
        if (async) left.awaitAdvanceInterruptibly(left.arrive(), 20, TimeUnit.SECONDS);
        run.out.put("all_ms", Run.now() - begin);
        tally.tell(run);
        run.await(run.got, tally.stored.size());
        Thread.sleep(500);
        run.verdict(tally.stored);
        run.once();
    }

    /** `-count` messages lie there; a consumer gets them all, at whatever speed it is allowed. */
    static void slowed(Run run, boolean pop) throws Exception {
        int count = Client.number("count", 200);
        DefaultMQProducer producer = run.producer();
        for (int i = 0; i < count; i++) Sends.stored(run, producer.send(run.message(i)));
        AtomicLong first = new AtomicLong(), last = new AtomicLong();
        DefaultMQPushConsumer consumer = run.prepare(run.group, "*", (MessageListenerConcurrently) (messages, context) -> {
            first.compareAndSet(0, Run.now());
            messages.forEach(run::take);
            last.set(Run.now());
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.setPullBatchSize(8);
        if (pop) {
            Run.call(consumer, "setClientRebalance", false);
            Run.call(consumer, "setPopBatchNums", 8);
        }
        run.start(consumer);
        run.await(run.got, count);
        run.out.put("consume_ms", last.get() - first.get());
        Thread.sleep(500);
        run.verdict(Run.ids(count, i -> true));
        run.once();
    }

    /** Of four messages one is fine, one too big, one without a property, and one too big and one-way. */
    static void refused(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        producer.setCompressMsgBodyOverHowmuch(1 << 20);
        run.consumer(run.taking(run.got));
        Tally fine = new Tally(), big = new Tally(), bare = new Tally();
        char[] filler = new char[Client.number("size", 3000)];
        Arrays.fill(filler, 'x');
        for (int i = 0; i < 20; i++) {
            Message message = run.message(i, i % 4 == 1 || i % 4 == 3 ? new String(filler) : "x");
            if (i % 4 != 2) message.putUserProperty("owner", "suite");
            if (i % 4 == 3) producer.sendOneway(message);
            else (i % 4 == 0 ? fine : i % 4 == 1 ? big : bare).send(producer, message, "" + i);
        }
        run.out.put("fine", fine.codes.toString() + fine.stored.size());
        run.out.put("big", big.codes.toString() + big.remarks);
        run.out.put("bare", bare.codes.toString() + bare.remarks);
        run.await(run.got, 5);
        Thread.sleep(500);
        run.verdict(Run.ids(20, i -> i % 4 == 0));
        run.once();
    }

    /** Two members of one group and two producers, at the addresses `-n` and `-n2`: the second one of each is denied. */
    static void admitted(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        DefaultMQPushConsumer member = run.consumer(run.taking(run.got));
        run.check(Run.until(30, () -> run.queues(member) == 4), "the allowed member holds " + run.queues(member));
        Map<String, Long> stolen = new ConcurrentHashMap<>();
        String elsewhere = Client.option("n2", "");
        DefaultMQPushConsumer denied = run.start(run.prepare(run.group, "*", run.taking(stolen)), elsewhere);
        DefaultMQProducer silenced = new DefaultMQProducer("p2_" + run.group, Run.hook());
        run.start(silenced, elsewhere);
        Client.say("@members " + run.topic + " " + run.group + " " + id(member) + " " + id(denied));
        int least = 4;
        Tally tally = new Tally();
        for (int i = 0; i < 120; i++) { // longer than a rebalance of the denied member takes
            Sends.stored(run, producer.send(run.message(i)));
            if (i % 40 == 0) tally.send(silenced, run.message(1000 + i), "");
            least = Math.min(least, run.queues(member));
            Thread.sleep(50);
        }
        run.beat(silenced);
        Client.say("@members " + run.topic + " " + run.group + " " + id(member) + " " + id(denied));
        tally.tell(run);
        run.out.put("least_queues", least);
        run.out.put("stolen", stolen.size());
        run.out.put("denied_queues", run.queues(denied));
        run.check(least == 4, "the allowed member held only " + least + " queues");
        run.check(stolen.isEmpty(), "the denied member got " + stolen.size());
        run.check(run.queues(denied) == 0, "the denied member holds " + run.queues(denied) + " queues");
        run.await(run.got, 120);
        Thread.sleep(1000); // the suite asks the brokers meanwhile
        run.verdict(Run.ids(120, i -> true));
        run.once();
    }

    private static String id(Object client) throws Exception { return (String) Run.call(client, "buildMQClientId"); }

    /** Properties and ext fields on their way to a consumer and back to the producer. */
    static void marked(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Map<String, Map<String, String>> properties = new ConcurrentSkipListMap<>();
        run.consumer((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                properties.put("" + run.number(message), new TreeMap<>(message.getProperties()));
                run.take(message);
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        Set<String> regions = new TreeSet<>();
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            Message message = run.message(i);
            message.putUserProperty("secret", "hush");
            message.putUserProperty("old", "value" + i);
            if (i >= 10) batch.add(message);
            else regions.add(String.valueOf(producer.send(message).getRegionId()));
        }
        producer.send(batch);
        run.await(run.got, 20);
        run.out.put("regions", regions.toString());
        properties.forEach((number, all) -> run.out.put("properties " + number, all.toString()));
        run.verdict(Run.ids(20, i -> true));
        run.once();
    }

    /** JSON bodies as two groups see them, by push, by pull (or by POP), and as a query by key finds them. */
    static void masked(Run run, boolean pop) throws Exception {
        DefaultMQProducer producer = run.producer();
        Map<String, Set<String>> seen = new ConcurrentSkipListMap<>();
        for (String group : List.of(run.group, run.group + "_trusted")) {
            DefaultMQPushConsumer consumer = run.prepare(group, "*", (MessageListenerConcurrently) (messages, context) -> {
                messages.forEach(message -> see(run, seen, "push " + kind(run, group), message));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            if (pop) Run.call(consumer, "setClientRebalance", false);
            run.start(consumer);
        }
        for (int i = 0; i < 12; i++) {
            // The bigger ones travel compressed.
            String note = i % 3 == 0 ? String.join("", Collections.nCopies(600, "note " + i + " ")) : "note " + i;
            String body = "{\"run\":\"" + run.id + "\",\"n\":" + i + ",\"card\":\"4111-1111\",\"person\":{\"name\":\"Ada\",\"mail\":\"ada@example.org\"},\"note\":\"" + note + "\"}";
            Message message = new Message(run.topic, "tag" + i % 3, run.id + "-" + i, body.getBytes("UTF-8"));
            run.sent.put("" + i, Run.now());
            Sends.stored(run, producer.send(message));
        }
        for (String group : List.of(run.group, run.group + "_trusted")) {
            run.check(Run.until(run.seconds, () -> seen.getOrDefault("push " + kind(run, group), Set.of()).size() >= 12), kind(run, group) + " lacks messages");
        }
        if (!pop) {
            for (String group : List.of(run.group, run.group + "_trusted")) {
                DefaultMQPullConsumer consumer = run.start(new DefaultMQPullConsumer(group, Run.hook()));
                for (MessageQueue queue : consumer.fetchSubscribeMessageQueues(run.topic)) {
                    PullResult result = consumer.pull(queue, "*", 0, 32);
                    if (result.getPullStatus() == PullStatus.FOUND) result.getMsgFoundList().forEach(m -> see(run, seen, "pull " + kind(run, group), m));
                }
            }
        }
        run.check(Run.until(15, () -> {
            try {
                List<MessageExt> found = producer.queryMessage(run.topic, run.id + "-3", 8, Run.now() - 60_000, Run.now() + 60_000).getMessageList();
                found.forEach(message -> see(run, seen, "query", message));
                return !found.isEmpty();
            } catch (Exception e) {
                return false;
            }
        }), "the query found nothing");
        seen.forEach((how, bodies) -> {
            run.out.put(how + " count", bodies.size());
            run.out.put(how + " cards", bodies.stream().filter(body -> body.contains("4111-1111")).count());
            run.out.put(how + " mails", bodies.stream().filter(body -> body.contains("ada@example.org")).count());
            run.out.put(how + " notes", bodies.stream().filter(body -> body.contains("note ")).count());
            run.out.put(how, bodies.stream().min(Comparator.comparing(String::length)).orElse(""));
        });
    }

    private static String kind(Run run, String group) { return group.equals(run.group) ? "masked" : "trusted"; }

    private static void see(Run run, Map<String, Set<String>> seen, String how, MessageExt message) {
        String body = new String(message.getBody(), java.nio.charset.StandardCharsets.UTF_8);
        if (!body.contains(run.id)) run.fail(how + ": not a message of this run: " + body);
        seen.computeIfAbsent(how, key -> ConcurrentHashMap.newKeySet()).add(body);
    }

    /** A few sends and what came of them: for users and places where some or all are refused. */
    static void plain(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Tally tally = new Tally();
        for (int i = 0; i < Client.number("count", 4); i++) tally.send(producer, run.message(i), "" + i);
        tally.tell(run);
    }
}
