// The Java client program of the suite: runs scenarios against a name server or proxy, several at once, one JSON line each.
//
//   java -cp ... Client -n HOST:PORT -p PREFIX [-j 4] [-seconds 20] SCENARIO...
//
// One source for every client from 4.4.0 on: what old ones lack is called by reflection. Topics are PREFIX_SCENARIO and exist already.
import java.util.*;
import java.util.concurrent.*;

public class Client {
    static final Map<String, String> options = new HashMap<>();

    interface Scenario { void run(Run run) throws Exception; }

    static final Map<String, Scenario> scenarios = new TreeMap<>();

    static {
        scenarios.put("sync", r -> Sends.roundTrip(r, "sync"));
        scenarios.put("async", r -> Sends.roundTrip(r, "async"));
        scenarios.put("oneway", r -> Sends.roundTrip(r, "oneway"));
        scenarios.put("batch", r -> Sends.roundTrip(r, "batch"));
        scenarios.put("delay", r -> Sends.roundTrip(r, "delay"));
        scenarios.put("timer", r -> Sends.roundTrip(r, "timer"));
        scenarios.put("big", Sends::big);
        scenarios.put("recall", Sends::recall);
        scenarios.put("tx", Sends::transactions);
        scenarios.put("request", Sends::request);
        scenarios.put("query", Sends::query);
        scenarios.put("order", Consumers::order);
        scenarios.put("broadcast", Consumers::broadcast);
        scenarios.put("tags", Consumers::tags);
        scenarios.put("sql", Consumers::sql);
        scenarios.put("retry", Consumers::retry);
        scenarios.put("dlq", Consumers::deadLetters);
        scenarios.put("pull", Consumers::pull);
        scenarios.put("lite", Consumers::lite);
        scenarios.put("offsets", Consumers::offsets);
        scenarios.put("members", Consumers::members);
        scenarios.put("pop", Consumers::pop);
        scenarios.put("reset", Consumers::reset);
        scenarios.put("watch", Consumers::watch);
        scenarios.put("stream", Streams::stream);
        scenarios.put("produce", Streams::produce);
        scenarios.put("drink", Streams::drink);
        scenarios.put("gush", Streams::gush);
        scenarios.put("limited", r -> Filtered.limited(r, false));
        scenarios.put("limitedasync", r -> Filtered.limited(r, true));
        scenarios.put("slowed", r -> Filtered.slowed(r, false));
        scenarios.put("slowedpop", r -> Filtered.slowed(r, true));
        scenarios.put("refused", Filtered::refused);
        scenarios.put("admitted", Filtered::admitted);
        scenarios.put("marked", Filtered::marked);
        scenarios.put("masked", r -> Filtered.masked(r, false));
        scenarios.put("maskedpop", r -> Filtered.masked(r, true));
        scenarios.put("plain", Filtered::plain);
        scenarios.put("changed", Filtered::plain);
    }

    static String option(String name, String otherwise) { return options.getOrDefault(name, otherwise); }

    static int number(String name, int otherwise) { return Integer.parseInt(option(name, "" + otherwise)); }

    static void one(String name) {
        Run run = new Run(name);
        long begin = System.currentTimeMillis();
        try {
            scenarios.get(name).run(run);
        } catch (Throwable e) {
            Throwable cause = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
            run.fail(cause.getClass().getSimpleName() + ": " + String.valueOf(cause.getMessage()).split("\n")[0]);
            e.printStackTrace();
        }
        run.close();
        run.out.put("ms", System.currentTimeMillis() - begin);
        say(run.json());
    }

    static synchronized void say(String line) { System.out.println(line); System.out.flush(); }

    public static void main(String[] args) throws Exception {
        List<String> names = new ArrayList<>();
        for (int i = 0; i < args.length; i++) {
            if (args[i].startsWith("-")) options.put(args[i].substring(1), args[++i]); else names.add(args[i]);
        }
        ExecutorService pool = Executors.newFixedThreadPool(number("j", 4));
        for (String name : names) pool.execute(() -> one(name));
        pool.shutdown();
        pool.awaitTermination(number("limit", 600), TimeUnit.SECONDS);
        System.exit(0);
    }
}
