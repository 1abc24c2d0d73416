// One scenario under way: its names, what it sent, what it got, the clients it opened, and the verdict.
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import org.apache.rocketmq.acl.common.AclClientRPCHook;
import org.apache.rocketmq.acl.common.SessionCredentials;
import org.apache.rocketmq.client.consumer.*;
import org.apache.rocketmq.client.consumer.listener.*;
import org.apache.rocketmq.client.consumer.rebalance.AllocateMessageQueueAveragely;
import org.apache.rocketmq.client.producer.*;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.*;
import org.apache.rocketmq.remoting.RPCHook;

class Run {
    final String name, topic, group;
    final String id = Long.toString(System.nanoTime(), 36);
    final Map<String, Object> out = Collections.synchronizedMap(new LinkedHashMap<>());
    final Map<String, Long> sent = new ConcurrentHashMap<>(), got = new ConcurrentHashMap<>();
    final Set<String> warm = ConcurrentHashMap.newKeySet();
    final AtomicInteger duplicates = new AtomicInteger(), strangers = new AtomicInteger(), instances = new AtomicInteger();
    final Deque<Runnable> closers = new ConcurrentLinkedDeque<>();
    final int seconds = Client.number("wait", 40);

    Run(String name) {
        this.name = name;
        topic = Client.option("p", "T") + "_" + name;
        group = "g_" + topic;
        out.put("scenario", name);
        out.put("ok", true);
    }

    /** Marks the scenario as failed; the first reason stays. */
    void fail(String why) { out.put("ok", false); out.putIfAbsent("why", why); }

    void check(boolean holds, String why) { if (!holds) fail(why); }

    void close() { for (Runnable closer : closers) closer.run(); }

    static long now() { return System.currentTimeMillis(); }

    /** Calls a public method that not every client version has. */
    static Object call(Object target, String name, Object... args) throws Exception {
        Class<?> type = target instanceof Class ? (Class<?>) target : target.getClass();
        for (Method method : type.getMethods()) {
            if (!method.getName().equals(name) || !fits(method.getParameterTypes(), args)) continue;
            try {
                return method.invoke(target, args);
            } catch (InvocationTargetException e) {
                throw e.getCause() instanceof Exception ? (Exception) e.getCause() : e;
            }
        }
        throw new UnsupportedOperationException("this client has no " + type.getSimpleName() + "." + name);
    }

    private static boolean fits(Class<?>[] types, Object[] args) {
        boolean fit = types.length == args.length;
        for (int i = 0; fit && i < args.length; i++) {
            Class<?> type = types[i];
            fit = type == long.class ? args[i] instanceof Long : type == int.class ? args[i] instanceof Integer
                : type == boolean.class ? args[i] instanceof Boolean : type.isInstance(args[i]);
        }
        return fit;
    }

    /** Gives a producer or consumer the address, an instance of its own, and an end; starts it. */
    <T> T start(T client) throws Exception {
        return start(client, Client.option("n", ""));
    }

    /** As `start`, at another address. */
    <T> T start(T client, String address) throws Exception {
        call(client, "setNamesrvAddr", address);
        call(client, "setInstanceName", name + instances.incrementAndGet() + "_" + id);
        try {
            call(client, "setMqClientApiTimeout", 6000); // 3 s are too short for the start of many clients on a busy machine
        } catch (UnsupportedOperationException e) {
            // clients before 4.8 have a fixed limit
        }
        call(client, "start");
        closers.addFirst(() -> { try { call(client, "shutdown"); } catch (Exception e) { e.printStackTrace(); } });
        return client;
    }

    /** Signs every request, if an access key (`-ak`, `-sk`) was given. */
    static RPCHook hook() {
        String key = Client.option("ak", null);
        return key == null ? null : new AclClientRPCHook(new SessionCredentials(key, Client.option("sk", "")));
    }

    DefaultMQProducer producer() throws Exception {
        DefaultMQProducer producer = new DefaultMQProducer("p_" + group, hook());
        producer.setSendMsgTimeout(Client.number("timeout", 10000));
        return start(producer);
    }

    /** Waits until a message sent to each queue has come back: from here on, times mean something. */
    void warmUp(DefaultMQProducer producer, DefaultMQPushConsumer consumer) throws Exception {
        check(until(30, () -> queues(consumer) >= 4), "consumer without queues");
        List<MessageQueue> all = producer.fetchPublishMessageQueues(topic);
        for (int i = 0; i < all.size(); i++) producer.send(new Message(topic, ("warm:" + id + ":" + i).getBytes()), all.get(i));
        check(until(seconds, () -> warm.size() >= all.size()), "consumer does not consume");
    }

    /** Sends a producer's heartbeat now instead of within 30 s. */
    void beat(DefaultMQProducer producer) throws Exception {
        Object factory;
        try {
            factory = call(producer.getDefaultMQProducerImpl(), "getMqClientFactory");
        } catch (UnsupportedOperationException e) {
            factory = call(producer.getDefaultMQProducerImpl(), "getmQClientFactory");
        }
        call(factory, "sendHeartbeatToAllBrokerWithLock");
    }

    DefaultMQPushConsumer consumer(MessageListener listener) throws Exception { return start(prepare(group, "*", listener)); }

    /** A push consumer that begins with the oldest message; not started. */
    DefaultMQPushConsumer prepare(String group, String expression, MessageListener listener) throws Exception {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group, hook(), new AllocateMessageQueueAveragely());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(2);
        consumer.setConsumeThreadMax(4);
        if (expression != null) consumer.subscribe(topic, expression);
        if (listener instanceof MessageListenerOrderly) consumer.registerMessageListener((MessageListenerOrderly) listener);
        else consumer.registerMessageListener((MessageListenerConcurrently) listener);
        return consumer;
    }

    /** How many queues of the scenario's topic a consumer holds. */
    int queues(DefaultMQPushConsumer consumer) throws Exception {
        Object rebalance = call(call(consumer, "getDefaultMQPushConsumerImpl"), "getRebalanceImpl");
        Map<?, ?> held = (Map<?, ?>) call(rebalance, "getProcessQueueTable");
        return (int) held.keySet().stream().filter(queue -> ((MessageQueue) queue).getTopic().equals(topic)).count();
    }

    Message message(int i) { return message(i, "x"); }

    /** Message number i of this run, noted as sent. */
    Message message(int i, String filler) {
        byte[] body = (id + ":" + i + ":" + filler).getBytes(java.nio.charset.StandardCharsets.ISO_8859_1);
        Message message = new Message(topic, "tag" + i % 3, id + "-" + i, body);
        message.putUserProperty("a", "" + i % 10);
        sent.put("" + i, now());
        return message;
    }

    /** The number of a message of this run, or -1. Topics are a run's own, so whatever else comes is a stranger. */
    int number(Message message) {
        String text = new String(message.getBody(), 0, Math.min(60, message.getBody().length));
        String[] parts = text.split(":");
        if (parts.length > 1 && parts[0].equals(id)) return Integer.parseInt(parts[1]);
        if (parts.length > 2 && parts[0].equals("warm") && parts[1].equals(id)) warm.add(parts[2]);
        else strangers.incrementAndGet();
        return -1;
    }

    void take(Message message) { take(got, message); }

    /** Notes a message as received. */
    void take(Map<String, Long> into, Message message) {
        int i = number(message);
        if (i >= 0 && into.putIfAbsent("" + i, now()) != null) duplicates.incrementAndGet();
    }

    MessageListenerConcurrently taking(Map<String, Long> into) {
        return (messages, context) -> {
            messages.forEach(message -> take(into, message));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    /** Waits until `count` messages were received. */
    void await(Map<String, Long> messages, int count) throws Exception { until(seconds, () -> messages.size() >= count); }

    static boolean until(int seconds, Callable<Boolean> holds) throws Exception {
        for (long end = now() + seconds * 1000L; now() < end; Thread.sleep(10)) if (holds.call()) return true;
        return holds.call();
    }

    /** Every one of `wanted` must have come once, and nothing else. */
    void verdict(Set<String> wanted) {
        Set<String> lost = new TreeSet<>(wanted), extra = new TreeSet<>(got.keySet());
        lost.removeAll(got.keySet());
        extra.removeAll(wanted);
        out.put("sent", sent.size());
        out.put("got", got.size());
        out.put("duplicates", duplicates.get());
        out.put("strangers", strangers.get());
        out.put("ms_max", got.entrySet().stream().filter(e -> sent.containsKey(e.getKey())).mapToLong(e -> e.getValue() - sent.get(e.getKey())).max().orElse(-1));
        check(lost.isEmpty(), "lost " + lost.size() + " of " + wanted.size() + ": " + head(lost));
        check(extra.isEmpty(), "not wanted: " + head(extra));
    }

    void once() { check(duplicates.get() == 0, duplicates.get() + " duplicates"); }

    private static String head(Set<String> ids) { return new ArrayList<>(ids).subList(0, Math.min(8, ids.size())).toString(); }

    static Set<String> ids(int count, java.util.function.IntPredicate chosen) {
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < count; i++) if (chosen.test(i)) ids.add("" + i);
        return ids;
    }

    String json() {
        StringJoiner fields = new StringJoiner(",", "{", "}");
        synchronized (out) {
            out.forEach((key, value) -> fields.add("\"" + key + "\":" + (value instanceof String ? quote((String) value) : value)));
        }
        return fields.toString();
    }

    private static String quote(String text) {
        return "\"" + text.replace("\\", "/").replace("\"", "'").replaceAll("[\\x00-\\x1f]", " ") + "\"";
    }
}
