// Scenarios about producers.
import java.util.*;
import java.util.concurrent.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.message.*;

class Sends {
    static final int COUNT = 40;

    /** Sends in one mode; every message comes back once. */
    static void roundTrip(Run run, String mode) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.consumer(run.taking(run.got));
        CountDownLatch left = new CountDownLatch(COUNT);
        List<Message> batch = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            Message message = run.message(i);
            if (mode.equals("delay")) message.setDelayTimeLevel(1);
            if (mode.equals("timer")) Run.call(message, "setDelayTimeMs", 1500L);
            if (mode.equals("oneway")) producer.sendOneway(message);
            else if (mode.equals("async")) producer.send(message, callback(run, left));
            else if (mode.equals("batch")) batch.add(message);
            else stored(run, producer.send(message));
            if (batch.size() == 10) {
                stored(run, producer.send(batch));
                batch = new ArrayList<>();
            }
        }
        if (mode.equals("async")) run.check(left.await(20, TimeUnit.SECONDS), "async sends without a result");
        run.await(run.got, COUNT);
        long early = run.got.entrySet().stream().mapToLong(e -> e.getValue() - run.sent.get(e.getKey())).min().orElse(0);
        if (mode.equals("delay")) run.check(early >= 500, "delivered after " + early + " ms");
        if (mode.equals("timer")) run.check(early >= 1000, "delivered after " + early + " ms");
        run.verdict(Run.ids(COUNT, i -> true));
        run.once();
    }

    static SendCallback callback(Run run, CountDownLatch left) {
        return new SendCallback() {
            public void onSuccess(SendResult result) { stored(run, result); left.countDown(); }
            public void onException(Throwable e) { run.fail("async send: " + e); left.countDown(); }
        };
    }

    static void stored(Run run, SendResult result) {
        run.check(result.getSendStatus() == SendStatus.SEND_OK, "send status " + result.getSendStatus());
        run.check(result.getMessageQueue().getBrokerName() != null, "send result without a queue");
    }

    /** Compressible bodies of 200 KB, and noise of 3.5 MiB. */
    static void big(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        Map<Integer, Integer> sizes = new ConcurrentHashMap<>();
        run.consumer((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(m -> { sizes.put(run.number(m), Arrays.hashCode(m.getBody())); run.take(m); });
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        Random random = new Random(1);
        Map<Integer, Integer> wanted = new HashMap<>();
        for (int i = 0; i < 7; i++) {
            char[] filler = new char[i < 4 ? 200_000 : 3_670_016 - 60];
            for (int at = 0; at < filler.length; at++) filler[at] = (char) (i < 4 ? 'a' + at / 1000 % 7 : random.nextInt(256));
            Message message = run.message(i, new String(filler));
            wanted.put(i, Arrays.hashCode(message.getBody()));
            stored(run, producer.send(message, 20_000));
        }
        run.await(run.got, 7);
        run.verdict(Run.ids(7, i -> true));
        run.once();
        run.check(wanted.equals(sizes), "bodies differ");
    }

    /** Half of the timed messages are called back and never come. */
    static void recall(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        run.consumer(run.taking(run.got));
        for (int i = 0; i < 10; i++) {
            Message message = run.message(i);
            Run.call(message, "setDelayTimeMs", 6000L);
            SendResult result = producer.send(message);
            if (i % 2 == 1) Run.call(producer, "recallMessage", run.topic, Run.call(result, "getRecallHandle"));
        }
        run.await(run.got, 5);
        Thread.sleep(2500);
        run.verdict(Run.ids(10, i -> i % 2 == 0));
    }

    /** Of three messages one is committed, one rolled back, and one left open until the broker asks. */
    static void transactions(Run run) throws Exception {
        Set<Integer> checked = ConcurrentHashMap.newKeySet();
        TransactionMQProducer producer = new TransactionMQProducer("tx_" + run.group, Run.hook());
        producer.setSendMsgTimeout(10_000);
        producer.setTransactionListener(new TransactionListener() {
            public LocalTransactionState executeLocalTransaction(Message message, Object i) {
                return new LocalTransactionState[] {LocalTransactionState.COMMIT_MESSAGE, LocalTransactionState.ROLLBACK_MESSAGE,
                    LocalTransactionState.UNKNOW}[(int) i % 3];
            }
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                int i = run.number(message);
                checked.add(i);
                return i % 3 == 1 ? LocalTransactionState.ROLLBACK_MESSAGE : LocalTransactionState.COMMIT_MESSAGE;
            }
        });
        run.start(producer);
        org.apache.rocketmq.client.consumer.DefaultMQPushConsumer consumer = run.consumer(run.taking(run.got));
        run.warmUp(producer, consumer);
        for (int i = 0; i < 12; i++) stored(run, producer.sendMessageInTransaction(run.message(i), i));
        run.await(run.got, 8);
        Thread.sleep(1500);
        run.verdict(Run.ids(12, i -> i % 3 != 1));
        run.out.put("checked", new TreeSet<>(checked).toString());
        run.out.put("commit_ms", latency(run, 0));
        run.out.put("checked_ms", latency(run, 2));
        run.check(latency(run, 0) < 3000, "a committed message took " + latency(run, 0) + " ms");
    }

    private static long latency(Run run, int rest) {
        return run.got.entrySet().stream().filter(e -> Integer.parseInt(e.getKey()) % 3 == rest)
            .mapToLong(e -> e.getValue() - run.sent.get(e.getKey())).max().orElse(-1);
    }

    /** Every request gets the body that its own replier sent. */
    static void request(Run run) throws Exception {
        DefaultMQProducer requester = run.producer(), replier = new DefaultMQProducer("r_" + run.group, Run.hook());
        Set<Integer> replied = ConcurrentHashMap.newKeySet();
        run.start(replier);
        Class<?> replies = Class.forName("org.apache.rocketmq.client.utils.MessageUtil");
        org.apache.rocketmq.client.consumer.DefaultMQPushConsumer consumer = run.consumer((MessageListenerConcurrently) (messages, context) -> {
            for (MessageExt message : messages) {
                if (run.number(message) < 0) continue;
                try {
                    stored(run, replier.send((Message) Run.call(replies, "createReplyMessage", message, message.getBody())));
                    replied.add(run.number(message));
                } catch (Exception e) {
                    run.fail("reply: " + e);
                    e.printStackTrace();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        run.warmUp(requester, consumer);
        run.beat(requester); // the reply may arrive at any broker, and each must know the requester
        for (int i = 0; i < 12; i++) run.take((Message) Run.call(requester, "request", run.message(i), 6000L));
        run.check(Run.until(10, () -> replied.size() == 12), "replies acknowledged: " + replied.size());
        run.verdict(Run.ids(12, i -> true));
    }

    /** Messages found by key, and by the id that names their place. */
    static void query(Run run) throws Exception {
        DefaultMQProducer producer = run.producer();
        List<SendResult> results = new ArrayList<>();
        for (int i = 0; i < 12; i++) results.add(producer.send(run.message(i)));
        for (int i = 0; i < 12; i++) {
            String key = run.id + "-" + i;
            run.check(Run.until(15, () -> found(run, producer, key)), "key " + key + " not found");
            Message viewed = producer.viewMessage(run.topic, results.get(i).getOffsetMsgId());
            run.check(viewed != null && run.number(viewed) == i, "view by id " + results.get(i).getOffsetMsgId());
        }
        Message unique = producer.viewMessage(run.topic, results.get(3).getMsgId());
        run.check(unique != null && run.number(unique) == 3, "view by unique id");
        run.verdict(Run.ids(12, i -> true));
        run.once();
    }

    private static boolean found(Run run, DefaultMQProducer producer, String key) {
        try {
            List<MessageExt> list = producer.queryMessage(run.topic, key, 8, Run.now() - 60_000, Run.now() + 60_000).getMessageList();
            list.forEach(run::take);
            return !list.isEmpty();
        } catch (Exception e) {
            return false;
        }
    }
}
