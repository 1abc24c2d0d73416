// Steady traffic for the faults: what was acknowledged must arrive.
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.producer.*;

class Streams {
    /** Sends for `-seconds` with `-producers` threads; failures are counted and not retried beyond what the client does. */
    private static void pour(Run run) throws Exception {
        int threads = Client.number("producers", 2);
        AtomicInteger next = new AtomicInteger(), failed = new AtomicInteger();
        Map<String, Long> stored = new ConcurrentHashMap<>();
        Map<String, Integer> errors = new ConcurrentHashMap<>();
        List<Thread> running = new ArrayList<>();
        long end = Run.now() + Client.number("seconds", 20) * 1000L;
        AtomicLong slowest = new AtomicLong();
        for (int t = 0; t < threads; t++) {
            DefaultMQProducer producer = run.producer();
            Thread thread = new Thread(() -> {
                while (Run.now() < end) {
                    int i = next.getAndIncrement();
                    long begin = Run.now();
                    try {
                        if (producer.send(run.message(i)).getSendStatus() == SendStatus.SEND_OK) stored.put("" + i, Run.now());
                        Thread.sleep(5);
                    } catch (Exception e) {
                        failed.incrementAndGet();
                        errors.merge(String.valueOf(e.getMessage()).split("\n")[0].replaceAll("\\d+", "N"), 1, Integer::sum);
                        try { Thread.sleep(200); } catch (InterruptedException x) { return; }
                    }
                    slowest.accumulateAndGet(Run.now() - begin, Math::max);
                }
            });
            thread.start();
            running.add(thread);
        }
        Client.say("@flowing " + run.topic);
        for (Thread thread : running) thread.join();
        run.out.put("stored", stored.size());
        run.out.put("failed", failed.get());
        run.out.put("slowest_ms", slowest.get());
        run.out.put("errors", errors.toString());
        run.sent.keySet().retainAll(stored.keySet());
        // From here on `sent` says when a message was stored, not when it was made.
        run.sent.putAll(stored);
    }

    /** Producers and `-consumers` consumers in one process. */
    static void stream(Run run) throws Exception {
        for (int i = 0; i < Client.number("consumers", 1); i++) run.consumer(run.taking(run.got));
        pour(run);
        run.check(Run.until(Client.number("drain", 60), () -> run.got.keySet().containsAll(run.sent.keySet())), "not everything stored came");
        Set<String> lost = new TreeSet<>(run.sent.keySet());
        lost.removeAll(run.got.keySet());
        run.out.put("got", run.got.size());
        run.out.put("lost", lost.size());
        run.out.put("duplicates", run.duplicates.get());
        run.out.put("stall_ms", run.got.entrySet().stream().filter(e -> run.sent.containsKey(e.getKey())).mapToLong(e -> e.getValue() - run.sent.get(e.getKey())).max().orElse(-1));
        run.got.entrySet().stream().filter(e -> run.sent.containsKey(e.getKey())).max(Comparator.comparingLong(e -> e.getValue() - run.sent.get(e.getKey())))
                .ifPresent(e -> run.out.put("stall_from", new java.text.SimpleDateFormat("HH:mm:ss.SSS").format(new Date(run.sent.get(e.getKey())))));
        run.check(lost.isEmpty(), "lost " + lost.size() + " of " + run.sent.size());
    }

    /** `-count` messages without a consumer. */
    static void produce(Run run) throws Exception {
        Consumers.send(run, run.producer(), Client.number("count", 20));
        run.out.put("sent", run.sent.size());
    }

    /** A new group reads `-count` messages that any run has sent. */
    static void drink(Run run) throws Exception {
        Set<String> bodies = ConcurrentHashMap.newKeySet();
        String topic = Client.option("topic", run.topic);
        DefaultMQPushConsumer consumer = run.prepare(run.group + run.id, null, (org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> bodies.add(new String(message.getBody())));
            return org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.subscribe(topic, "*");
        run.start(consumer);
        int count = Client.number("count", 20);
        run.check(Run.until(run.seconds, () -> bodies.size() >= count), "got " + bodies.size() + " of " + count);
        run.out.put("got", bodies.size());
    }

    /** Sends and consumes as fast as one thread can for `-seconds`; tells each 100 ms how many sends were stored, refused with 215, or failed. */
    static void gush(Run run) throws Exception {
        DefaultMQPushConsumer consumer = run.consumer(run.taking(run.got));
        DefaultMQProducer producer = run.producer();
        run.check(Run.until(30, () -> run.queues(consumer) >= 4), "consumer without queues");
        Filtered.Tally tally = new Filtered.Tally();
        long begin = Run.now(), end = begin + Client.number("seconds", 20) * 1000L, tick = begin;
        int stored = 0, refused = 0, failed = 0;
        Client.say("@flowing " + run.topic);
        for (int i = 0; Run.now() < end; i++) {
            tally.send(producer, run.message(i), "" + i);
            if (Run.now() < tick + 100) continue;
            tick = Run.now();
            int refusals = tally.codes.getOrDefault("215", 0), failures = tally.codes.values().stream().mapToInt(n -> n).sum() - refusals;
            Client.say("@rate " + tick + " " + (tally.stored.size() - stored) + " " + (refusals - refused) + " " + (failures - failed));
            stored = tally.stored.size();
            refused = refusals;
            failed = failures;
        }
        tally.tell(run);
        run.await(run.got, tally.stored.size());
        Thread.sleep(500);
        run.verdict(tally.stored);
        run.once();
    }
}
